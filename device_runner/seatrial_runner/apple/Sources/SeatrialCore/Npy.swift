// Tensors as .npy files (numpy's format, versions 1 to 3, C order), read without trust in their headers.
import Foundation

public enum DType: String {
    case float16, float32, float64, int8, uint8, int16, uint16, int32, uint32, int64, uint64, bool

    var descr: String {
        switch self {
        case .float16: return "<f2"
        case .float32: return "<f4"
        case .float64: return "<f8"
        case .int8: return "|i1"
        case .uint8: return "|u1"
        case .int16: return "<i2"
        case .uint16: return "<u2"
        case .int32: return "<i4"
        case .uint32: return "<u4"
        case .int64: return "<i8"
        case .uint64: return "<u8"
        case .bool: return "|b1"
        }
    }

    public var size: Int { Int(String(descr.last!))! }
}

public struct Tensor {
    public let dtype: DType
    public let shape: [Int]
    public let data: Data  // row-major, little-endian

    public init(dtype: DType, shape: [Int], data: Data) {
        (self.dtype, self.shape, self.data) = (dtype, shape, data)
    }

    /// Reads the file of `spec`, which must hold just that dtype and shape.
    public static func read(_ spec: TensorSpec, at url: URL) throws -> Tensor {
        guard let dtype = DType(rawValue: spec.dtype) else {
            throw Failure(.input, .harness, "'\(spec.name)': unknown dtype \(spec.dtype)")
        }
        guard let raw = try? Data(contentsOf: url) else {
            throw Failure(.input, .harness, "'\(spec.name)': \(spec.path) can't be read")
        }
        let body = try payload(of: raw, spec: spec, dtype: dtype)
        return Tensor(dtype: dtype, shape: spec.shape, data: body)
    }

    static func payload(of raw: Data, spec: TensorSpec, dtype: DType) throws -> Data {
        func wrong(_ what: String) -> Failure { Failure(.input, .harness, "'\(spec.name)': \(spec.path): \(what)") }
        let bytes = [UInt8](raw.prefix(12))
        guard bytes.count == 12, bytes[0] == 0x93, Array("NUMPY".utf8) == Array(bytes[1..<6]) else {
            throw wrong("is not a .npy file")
        }
        let short = bytes[6] == 1
        let length = Int(bytes[8]) | Int(bytes[9]) << 8 | (short ? 0 : Int(bytes[10]) << 16 | Int(bytes[11]) << 24)
        let start = (short ? 10 : 12) + length
        guard start <= raw.count else { throw wrong("is cut short") }
        let header = String(decoding: raw[(raw.startIndex + (short ? 10 : 12))..<(raw.startIndex + start)], as: UTF8.self)
        let shape = "(" + spec.shape.map(String.init).joined(separator: ", ") + (spec.shape.count == 1 ? ",)" : ")")
        guard header.contains("'descr': '\(dtype.descr)'"), header.contains("'fortran_order': False"),
            header.contains("'shape': \(shape)")
        else { throw wrong("does not hold \(dtype.rawValue) of shape \(shape) in C order") }
        guard raw.count - start == spec.count * dtype.size else { throw wrong("is cut short, or too long") }
        return raw.suffix(spec.count * dtype.size)
    }

    /// The elements as doubles, in row-major order.
    public func doubles() -> [Double] {
        let count = data.count / dtype.size
        func all<T>(_ type: T.Type, _ value: (T) -> Double) -> [Double] {
            data.withUnsafeBytes { raw in
                (0..<count).map { value(raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self)) }
            }
        }
        switch dtype {
        case .float16: return all(UInt16.self, halfToDouble)
        case .float32: return all(UInt32.self) { Double(Float(bitPattern: $0)) }
        case .float64: return all(UInt64.self) { Double(bitPattern: $0) }
        case .int8: return all(Int8.self) { Double($0) }
        case .uint8, .bool: return all(UInt8.self) { Double($0) }
        case .int16: return all(Int16.self) { Double($0) }
        case .uint16: return all(UInt16.self) { Double($0) }
        case .int32: return all(Int32.self) { Double($0) }
        case .uint32: return all(UInt32.self) { Double($0) }
        case .int64: return all(Int64.self) { Double($0) }
        case .uint64: return all(UInt64.self) { Double($0) }
        }
    }
}

/// IEEE 754 half precision; Swift's Float16 does not exist on every platform that builds this.
public func halfToDouble(_ bits: UInt16) -> Double {
    let sign = bits & 0x8000 == 0 ? 1.0 : -1.0
    let exponent = Int(bits >> 10 & 0x1f), fraction = Double(bits & 0x3ff)
    switch exponent {
    case 0: return sign * fraction * 0x1p-24
    case 31: return fraction == 0 ? sign * .infinity : .nan
    default: return sign * (1 + fraction / 1024) * Foundation.pow(2, Double(exponent - 15))
    }
}
