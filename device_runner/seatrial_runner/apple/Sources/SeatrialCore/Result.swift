// What a run gives: `records.AgentResult`, one JSON object on one line, then the end marker.
import Foundation

public struct ArmResult: Encodable {
    public var sessionNs: UInt64 = 0
    public var firstNs: UInt64 = 0
    public var compileNs: UInt64?
    public var warmupIterations = 0
    public var checks: [OutputCheck] = []
    public var wallNs: [UInt64] = []
    public var cpuNs: [UInt64] = []
}

public struct Memory: Encodable {
    public let measure = "phys_footprint"
    public var baselineRss: UInt64?
    public var peakLoad: UInt64?
    public var peakInference: UInt64?
    public let pss: UInt64? = nil
    public let hwmReset = false  // the peak can't be reset: that of the inferences includes the load
}

public struct EnergyWindows: Encodable {
    public let counters: [String] = []
    public let idleBefore: [UInt64]
    public let burst: [UInt64]
    public let idleAfter: [UInt64]
    public let inferences: Int
    public let samples: [Int] = []  // the host reads the meter; see unixOffsetNs
    public let unixOffsetNs: Int64  // to be added to the times above for Unix time
}

public struct AppleFacts: Encodable {
    public let identity: Identity
    public let before: Moment
    public var after: Moment?
    public var availableMemory: UInt64?
    public var placement: [String: [Placed]]?  // by arm
    public var placementProblem = ""
}

public struct RunResult: Encodable {
    public let agent = "apple"
    public let agentVersion = "1"
    public var status = "ok"
    public var error: Failure?
    public var machine = ""
    public var kernel = ""
    public var runtimeVersion = ""
    public var startNs: UInt64?
    public var arms: [String: ArmResult] = [:]
    public var memory: Memory?
    public var energy: EnergyWindows?
    public var apple: AppleFacts?
    public var stamp = ""

    /// The two lines that the host reads.
    public func text(token: String) -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        let line = (try? encoder.encode(self)) ?? Data()
        return line + Data("\nseatrial-end \(token.isEmpty ? "-" : token)\n".utf8)
    }
}
