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
        case .image: return value.imageBufferValue.flatMap(samples)
        default: return nil  // a label as text: nothing that a golden array compares with
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

/// Pixels of shape (height, width, 3) in red, green, blue, or (height, width), as what a camera delivers.
func pixels(_ spec: TensorSpec, _ tensor: Tensor, _ layout: String) throws -> CVPixelBuffer {
    let gray = layout == "gray"
    guard tensor.dtype == .uint8, gray ? spec.shape.count == 2 : spec.shape.count == 3 && spec.shape[2] == 3 else {
        throw Failure(.input, .harness, "input '\(spec.name)': an image is uint8, (height, width, 3) or (height, width)")
    }
    let (height, width) = (spec.shape[0], spec.shape[1])
    let format = gray ? kCVPixelFormatType_OneComponent8 : kCVPixelFormatType_32BGRA
    var made: CVPixelBuffer?
    CVPixelBufferCreate(nil, width, height, format, nil, &made)
    guard let buffer = made else { throw Failure(.input, .device, "input '\(spec.name)': no memory for its image") }
    CVPixelBufferLockBaseAddress(buffer, [])
    defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
    let base = CVPixelBufferGetBaseAddress(buffer)!.assumingMemoryBound(to: UInt8.self)
    let rowBytes = CVPixelBufferGetBytesPerRow(buffer), source = [UInt8](tensor.data)
    for y in 0..<height {
        for x in 0..<width {
            let from = y * width + x, to = y * rowBytes
            if gray { base[to + x] = source[from]; continue }
            // A buffer is blue, green, red, alpha, whatever order the model wants: Core ML converts.
            for channel in 0..<3 { base[to + x * 4 + channel] = source[from * 3 + 2 - channel] }
            base[to + x * 4 + 3] = 255
        }
    }
    return buffer
}

/// An image that a model gives, in the order of `pixels`; nil for a format that golden files do not have.
func samples(_ buffer: CVPixelBuffer) -> [Double]? {
    CVPixelBufferLockBaseAddress(buffer, .readOnly)
    defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
    guard let base = CVPixelBufferGetBaseAddress(buffer)?.assumingMemoryBound(to: UInt8.self) else { return nil }
    let (height, width) = (CVPixelBufferGetHeight(buffer), CVPixelBufferGetWidth(buffer))
    let rowBytes = CVPixelBufferGetBytesPerRow(buffer)
    switch CVPixelBufferGetPixelFormatType(buffer) {
    case kCVPixelFormatType_OneComponent8:
        return (0..<height * width).map { Double(base[$0 / width * rowBytes + $0 % width]) }
    case kCVPixelFormatType_32BGRA:
        return (0..<height * width).flatMap { at in
            (0..<3).map { Double(base[at / width * rowBytes + at % width * 4 + 2 - $0]) }
        }
    default: return nil
    }
}
