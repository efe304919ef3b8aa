// Why a run gave no figures. The words are those of `records.AgentFailure`.
import Foundation

public enum Stage: String, Encodable {
    case job, session, input, check, run, energy
}

public enum Kind: String, Encodable {
    case user = "user_error"
    case harness = "harness_error"
    case device = "device_error"
}

public struct Failure: Error, Encodable {
    public let stage: Stage
    public let kind: Kind
    public let message: String

    public init(_ stage: Stage, _ kind: Kind, _ message: String) {
        self.stage = stage
        self.kind = kind
        self.message = String(message.prefix(2048))
    }
}
