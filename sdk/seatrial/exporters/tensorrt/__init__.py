"""Export for TensorRT: ONNX with explicit quantization, how to build it on the device, and what NVIDIA says of it."""
