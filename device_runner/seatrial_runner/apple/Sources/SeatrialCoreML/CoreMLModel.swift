// Core ML models behind `LoadedModel`: compile, load, bind, predict, read the outputs whatever their strides.
import CoreML
import CoreVideo
import Foundation
import SeatrialCore

final class CoreMLModel: LoadedModel {
    private let model: MLModel
    private let features: MLDictionaryFeatureProvider
    private var latest: MLFeatureProvider?
    private var predictWithState: ((MLFeatureProvider) throws -> MLFeatureProvider)?

    init(_ model: MLModel, inputs: [(TensorSpec, Tensor)]) throws {
        self.model = model
        var values: [String: MLFeatureValue] = [:]
        for (spec, tensor) in inputs { values[spec.name] = try feature(spec, tensor) }
        features = try MLDictionaryFeatureProvider(dictionary: values)
        if #available(macOS 15, iOS 18, *), !model.modelDescription.stateDescriptionsByName.isEmpty {
            // A fresh state for each inference: the golden outputs are those of the first step.
            predictWithState = { try model.prediction(from: $0, using: model.makeState()) }
        }
    }

    func predict() throws {
        latest = try predictWithState?(features) ?? model.prediction(from: features)
    }

    func outputs() throws -> [String: [Double]] {
        guard let latest else { return [:] }
        var found: [String: [Double]] = [:]
        for name in latest.featureNames {
            if let value = latest.featureValue(for: name) { found[name] = numbers(value) }
        }
        return found
    }

    private func numbers(_ value: MLFeatureValue) -> [Double]? {
        switch value.type {
        case .multiArray: return value.multiArrayValue.map(rowMajor)
        case .double: return [value.doubleValue]
        case .int64: return [Double(value.int64Value)]
        case .dictionary:
            let labels = model.modelDescription.classLabels as? [AnyHashable] ?? []
            return labels.map { value.dictionaryValue[$0]?.doubleValue ?? .nan }
        default: return nil  // a label as text, an image: nothing that a golden array compares with
        }
    }
}

/// The Neural Engine pads rows: elements are reached by strides, never by position.
func rowMajor(_ array: MLMultiArray) -> [Double] {
    let shape = array.shape.map(\.intValue), strides = array.strides.map(\.intValue)
    var offsets = [0]
    for (extent, stride) in zip(shape, strides) {
        offsets = offsets.flatMap { base in (0..<extent).map { base + $0 * stride } }
    }
    return array.withUnsafeBytes { raw in
        switch array.dataType {
        case .float32: return offsets.map { Double(raw.load(fromByteOffset: $0 * 4, as: Float.self)) }
        case .double: return offsets.map { raw.load(fromByteOffset: $0 * 8, as: Double.self) }
        case .int32: return offsets.map { Double(raw.load(fromByteOffset: $0 * 4, as: Int32.self)) }
        case .float16: return offsets.map { halfToDouble(raw.load(fromByteOffset: $0 * 2, as: UInt16.self)) }
        default: return offsets.map { array[$0].doubleValue }
        }
    }
}

func feature(_ spec: TensorSpec, _ tensor: Tensor) throws -> MLFeatureValue {
    if let layout = spec.image { return MLFeatureValue(pixelBuffer: try pixels(spec, tensor, layout)) }
    let types: [DType: MLMultiArrayDataType] = [.float32: .float32, .float16: .float16, .float64: .double, .int32: .int32]
    guard let type = types[tensor.dtype] else {
        throw Failure(.input, .user, "input '\(spec.name)': Core ML takes no \(spec.dtype)")
    }
    let array = try MLMultiArray(shape: spec.shape.map { NSNumber(value: $0) }, dataType: type)
    array.withUnsafeMutableBytes { raw, _ in _ = tensor.data.copyBytes(to: raw) }
    return MLFeatureValue(multiArray: array)
}

/// Pixels of shape (1, channels, height, width) as what a camera delivers.
func pixels(_ spec: TensorSpec, _ tensor: Tensor, _ layout: String) throws -> CVPixelBuffer {
    guard spec.shape.count == 4, tensor.dtype == .uint8, spec.shape[1] == (layout == "gray" ? 1 : 3) else {
        throw Failure(.input, .harness, "input '\(spec.name)': an image is uint8 of shape (1, channels, height, width)")
    }
    let (height, width) = (spec.shape[2], spec.shape[3])
    let format = layout == "gray" ? kCVPixelFormatType_OneComponent8 : kCVPixelFormatType_32BGRA
    var made: CVPixelBuffer?
    CVPixelBufferCreate(nil, width, height, format, nil, &made)
    guard let buffer = made else { throw Failure(.input, .device, "input '\(spec.name)': no memory for its image") }
    CVPixelBufferLockBaseAddress(buffer, [])
    defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
    let base = CVPixelBufferGetBaseAddress(buffer)!.assumingMemoryBound(to: UInt8.self)
    let rowBytes = CVPixelBufferGetBytesPerRow(buffer), plane = height * width
    let source = [UInt8](tensor.data)
    // A buffer is always BGRA, whatever order the model wants: Core ML converts.
    let order = layout == "bgr" ? [0, 1, 2] : [2, 1, 0]
    for y in 0..<height {
        for x in 0..<width {
            if layout == "gray" { base[y * rowBytes + x] = source[y * width + x]; continue }
            for (at, channel) in order.enumerated() {
                base[y * rowBytes + x * 4 + at] = source[channel * plane + y * width + x]
            }
            base[y * rowBytes + x * 4 + 3] = 255
        }
    }
    return buffer
}
