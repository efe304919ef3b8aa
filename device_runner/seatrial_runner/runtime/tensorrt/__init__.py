"""TensorRT on NVIDIA devices: engines built there, run by trtexec or by our Python runner."""
