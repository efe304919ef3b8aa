// The warm-up rule of AndroidX Benchmark (WarmupManager): a fast and a slow moving average must agree within 4 %.
import Foundation

struct Averages {
    private var fast = 0.0, slow = 0.0, seen = 0, agreeing = 0

    mutating func update(_ tookNs: UInt64) {
        let sample = Double(tookNs) + 1
        fast = seen > 0 ? 0.1 * sample + 0.9 * fast : sample
        slow = seen > 0 ? 0.005 * sample + 0.995 * slow : sample
        seen += 1
        agreeing = abs(fast / slow - 1) < 0.04 ? agreeing + 1 : 0
    }

    func agree(_ iterations: Int) -> Bool { seen >= iterations && agreeing >= min(iterations, 40) }
}
