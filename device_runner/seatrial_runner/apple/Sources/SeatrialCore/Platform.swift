// What the core needs of a platform: models, clocks, and what the device tells of itself.
import Foundation

/// A model that is loaded and has its inputs.
public protocol LoadedModel: AnyObject {
    /// One inference.
    func predict() throws
    /// The outputs of the latest inference by name, row-major.
    func outputs() throws -> [String: [Double]]
}

public struct Loaded {
    public let model: LoadedModel
    public let compileNs: UInt64?  // nil: it came compiled
    public let loadNs: UInt64

    public init(model: LoadedModel, compileNs: UInt64?, loadNs: UInt64) {
        (self.model, self.compileNs, self.loadNs) = (model, compileNs, loadNs)
    }
}

/// ProcessInfo.ThermalState, by name.
public enum Thermal: String, Codable, Comparable {
    case nominal, fair, serious, critical

    private var rank: Int { [.nominal: 0, .fair: 1, .serious: 2, .critical: 3][self]! }
    public static func < (a: Thermal, b: Thermal) -> Bool { a.rank < b.rank }
}

/// What the device says of itself at one moment.
public struct Moment: Codable {
    public var thermal: Thermal?
    public var lowPowerMode: Bool?
    public var batteryLevel: Double?  // 0 to 1
    public var charging: Bool?

    public init(thermal: Thermal?, lowPowerMode: Bool?, batteryLevel: Double?, charging: Bool?) {
        (self.thermal, self.lowPowerMode, self.batteryLevel, self.charging) = (
            thermal, lowPowerMode, batteryLevel, charging
        )
    }
}

public struct Placed: Codable {
    public let name: String
    public let op: String
    public let unit: String  // "CPU", "GPU", "NE"
    public let supported: [String]
    public let cost: Double?  // share of the estimated cost of the whole

    public init(name: String, op: String, unit: String, supported: [String], cost: Double?) {
        (self.name, self.op, self.unit, self.supported, self.cost) = (name, op, unit, supported, cost)
    }
}

public struct Identity: Codable {
    public let model: String  // "iPhone16,1"
    public let os: String  // "iOS 18.1"
    public let build: String

    public init(model: String, os: String, build: String) {
        (self.model, self.os, self.build) = (model, os, build)
    }
}

public protocol Platform {
    var identity: Identity { get }
    var stamp: String { get }  // names what is not real hardware; empty on an Apple device
    func load(_ arm: ArmSpec, inputs: [Tensor]) throws -> Loaded
    func file(_ path: String) throws -> URL
    func monotonicNs() -> UInt64
    func cpuNs() -> UInt64
    func unixNs() -> UInt64
    func sleep(ns: UInt64)
    func sinceProcessStartNs() -> UInt64?
    func footprint() -> UInt64?  // bytes, now
    func peakFootprint() -> UInt64?  // bytes, since the process began
    func availableMemory() -> UInt64?
    func moment() -> Moment
    func placement(_ arm: ArmSpec) throws -> [Placed]?  // nil: this system does not tell
}

/// What a device says before any run.
public struct Introduction: Encodable {
    public let identity: Identity
    public let stamp: String

    public init(_ platform: Platform) { (identity, stamp) = (platform.identity, platform.stamp) }
}
