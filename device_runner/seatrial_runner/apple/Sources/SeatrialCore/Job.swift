// The job file: what the host asks for. Same keys and meaning as the native agent's (`seatrial_runner.job`), as JSON.
import Foundation

public struct TensorSpec: Decodable {
    public let name: String
    public let dtype: String
    public let shape: [Int]
    public let path: String
    public let tolerance: Double?
    public let image: String?  // "rgb" or "gray": the input is an image, the file holds its pixels as uint8

    public var count: Int { shape.reduce(1, *) }
}

public struct ArmSpec: Decodable {
    public let model: String
    public let computeUnits: String
    public let inputs: [TensorSpec]
    public let outputs: [TensorSpec]
}

public struct Job: Decodable {
    public static let schema = "seatrial-apple-job/1"
    static let keys: Set<String> = [
        "schema", "token", "mode", "arms", "first", "warmup_iterations", "warmup_min_ns", "warmup_max_ns",
        "iterations", "max_ns", "window_ns", "placement",
    ]
    static let units: Set<String> = ["ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE"]

    public let schema: String
    public let token: String
    public let mode: String
    public let arms: [String: ArmSpec]
    public let first: String
    public let warmupIterations: Int
    public let warmupMinNs: UInt64
    public let warmupMaxNs: UInt64
    public let iterations: Int
    public let maxNs: UInt64
    public let windowNs: UInt64
    public let placement: Bool

    /// The arms in the order in which they are loaded and begin.
    public var order: [String] { arms.keys.sorted { a, b in (a == first ? 0 : 1, a) < (b == first ? 0 : 1, b) } }

    public static func read(_ data: Data) throws -> Job {
        guard let raw = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any] else {
            throw Failure(.job, .harness, "the job file is not a JSON object; it was not sent whole")
        }
        guard raw["schema"] as? String == schema else {
            throw Failure(.job, .harness, "the job file is not of schema \(schema); host and runner differ in version")
        }
        if let strange = Set(raw.keys).subtracting(keys).sorted().first {
            throw Failure(.job, .harness, "job file: unknown key '\(strange)'; host and runner differ in version")
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(Job.self, from: data).checked()
        } catch let error as DecodingError {
            throw Failure(.job, .harness, "job file: \(words(error))")
        }
    }

    private func checked() throws -> Job {
        let problems: [(String, Bool)] = [
            ("mode is none of latency, memory, energy", !["latency", "memory", "energy"].contains(mode)),
            ("the token is empty", token.isEmpty),
            ("arm a is missing", arms["a"] == nil),
            ("an arm is neither a nor b", !Set(arms.keys).isSubset(of: ["a", "b"])),
            ("two arms, which only mode latency takes", arms.count > 1 && mode != "latency"),
            ("the arm that is to be first is not given", arms[first] == nil),
            ("iterations must be 1 or more", mode != "energy" && iterations < 1),
            ("an arm has no model, or nothing to check", arms.values.contains { $0.model.isEmpty || $0.outputs.isEmpty }),
            ("unknown compute units", arms.values.contains { !Job.units.contains($0.computeUnits) }),
        ]
        if let (problem, _) = problems.first(where: { $0.1 }) {
            throw Failure(.job, .harness, "job file: \(problem)")
        }
        return self
    }

    private static func words(_ error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, _): return "'\(key.stringValue)' is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            return "\(context.codingPath.map(\.stringValue).joined(separator: ".")): \(context.debugDescription)"
        @unknown default: return "can't be read"
        }
    }
}
