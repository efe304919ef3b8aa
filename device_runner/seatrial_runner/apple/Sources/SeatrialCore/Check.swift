// One output against its golden value, before any timing. The same rule as the other agents' (`agent/portable/check.py`).
import Foundation

public struct OutputCheck: Encodable {
    public let name: String
    public let relL2: Double
    public let maxAbs: Double
    public let nonfinite: Int
    public let argmaxEqual: Bool
    public let tolerance: Double
    public let ok: Bool
}

func distance(_ got: Double, _ want: Double) -> Double {
    if got.isFinite && want.isFinite { return abs(got - want) }
    return got == want || (got.isNaN && want.isNaN) ? 0 : .infinity
}

public func compare(_ spec: TensorSpec, got: [Double], want: [Double]) throws -> OutputCheck {
    guard got.count == want.count else {
        throw Failure(.check, .device, "output '\(spec.name)' has \(got.count) elements, the golden one \(want.count)")
    }
    let differences = zip(got, want).map(distance)
    let nonfinite = zip(got, want).filter { $1.isFinite && !$0.isFinite }.count
    let error = differences.reduce(0) { $0 + $1 * $1 }
    let norm = want.filter(\.isFinite).reduce(0) { $0 + $1 * $1 }
    let relative = error == 0 ? 0 : norm == 0 ? Double.infinity : error.squareRoot() / norm.squareRoot()
    let tolerance = spec.tolerance ?? 0
    return OutputCheck(
        name: spec.name, relL2: relative, maxAbs: differences.max() ?? 0, nonfinite: nonfinite,
        argmaxEqual: argmax(got) == argmax(want), tolerance: tolerance, ok: nonfinite == 0 && relative <= tolerance)
}

func argmax(_ values: [Double]) -> Int {
    var top = 0, highest = -Double.infinity
    for (index, value) in values.enumerated() where value > highest { (top, highest) = (index, value) }
    return top
}

/// What is wrong about an output that failed its check.
func explanation(_ check: OutputCheck, count: Int) -> String {
    if check.nonfinite > 0 {
        return "output '\(check.name)': \(check.nonfinite) of \(count) elements are NaN or infinite where the golden "
            + "output is finite"
    }
    return "output '\(check.name)' differs from the golden output: relative L2 error \(short(check.relL2)), allowed "
        + "\(short(check.tolerance)) (largest difference \(short(check.maxAbs)))"
}

func short(_ value: Double) -> String { String(format: "%.3g", value) }
