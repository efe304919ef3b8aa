// One run, from the job to its figures: load, first inference, check, warm-up, and the three modes.
import Foundation

public final class Measurement {
    private let platform: Platform
    private var job: Job!
    private var models: [String: LoadedModel] = [:]
    private var stage = Stage.job
    public private(set) var result = RunResult()

    public init(_ platform: Platform) { self.platform = platform }

    /// Makes the run that `data` (a job file) asks for and returns what the host reads. Never throws: it says what failed.
    public static func text(of data: Data, on platform: Platform) -> Data {
        let run = Measurement(platform)
        run.attempt(data)
        return run.result.text(token: run.job?.token ?? "")
    }

    private func attempt(_ data: Data) {
        do {
            job = try Job.read(data)
            try run()
        } catch let failure as Failure {
            (result.status, result.error) = ("error", failure)
        } catch {
            (result.status, result.error) = ("error", Failure(stage, .device, "\(error)"))
        }
        result.apple?.after = platform.moment()
    }

    private func run() throws {
        result.apple = AppleFacts(identity: platform.identity, before: platform.moment())
        (result.machine, result.runtimeVersion) = (platform.identity.model, platform.identity.os)
        (result.kernel, result.stamp) = (platform.identity.build, platform.stamp)
        try requireCool("before the run")
        result.memory = job.mode == "memory" ? Memory(baselineRss: platform.footprint()) : nil
        for name in job.order { try prepare(name) }
        switch job.mode {
        case "memory": try measureMemory()
        case "energy":
            try warmUp()
            try measureEnergy()
        default:
            try warmUp()
            try measureLatency()
        }
        notePlacement()
    }

    private func prepare(_ name: String) throws {
        let arm = job.arms[name]!
        stage = .input
        let inputs = try arm.inputs.map { try Tensor.read($0, at: platform.file($0.path)) }
        stage = .session
        let loaded = try platform.load(arm, inputs: inputs)
        models[name] = loaded.model
        var measured = ArmResult()
        (measured.compileNs, measured.sessionNs) = (loaded.compileNs, loaded.loadNs)
        stage = .run
        measured.firstNs = try timed(name)
        if result.startNs == nil { result.startNs = platform.sinceProcessStartNs() }
        if job.mode == "memory" { result.memory?.peakLoad = platform.peakFootprint() }
        result.arms[name] = measured
        try check(arm, name)
    }

    private func check(_ arm: ArmSpec, _ name: String) throws {
        stage = .check
        let outputs = try models[name]!.outputs()
        for spec in arm.outputs {
            guard let got = outputs[spec.name] else {
                let known = outputs.keys.sorted().joined(separator: ", ")
                throw Failure(.check, .user, "the model has no output '\(spec.name)'; it has: \(known)")
            }
            let golden = try Tensor.read(spec, at: platform.file(spec.path))
            result.arms[name]!.checks.append(try compare(spec, got: got, want: golden.doubles()))
        }
        if let bad = result.arms[name]!.checks.first(where: { !$0.ok }) {
            let count = arm.outputs.first { $0.name == bad.name }!.count
            throw Failure(.check, .device, explanation(bad, count: count))
        }
        stage = .run
    }

    /// One inference alone, or the quadruple A B B A (B A A B when b is first).
    private var round: [String] {
        let order = job.order
        return order.count == 1 ? order : [order[0], order[1], order[1], order[0]]
    }

    private func timed(_ name: String) throws -> UInt64 {
        let begin = platform.monotonicNs()
        try models[name]!.predict()
        return platform.monotonicNs() - begin
    }

    private func warmUp() throws {
        var averages = Dictionary(uniqueKeysWithValues: job.order.map { ($0, Averages()) })
        let begin = platform.monotonicNs()
        var passed: UInt64 = 0
        while passed < job.warmupMaxNs {
            if passed >= job.warmupMinNs && averages.values.allSatisfy({ $0.agree(job.warmupIterations) }) { return }
            for name in round {
                averages[name]!.update(try timed(name))
                result.arms[name]!.warmupIterations += 1
            }
            passed = platform.monotonicNs() - begin
        }
    }

    private func measureLatency() throws {
        let samples = round.count == 1 ? job.iterations : (job.iterations + 1) / 2 * 2
        let begin = platform.monotonicNs()
        repeat {
            for name in round {
                let cpu = platform.cpuNs()
                let took = try timed(name)
                result.arms[name]!.cpuNs.append(platform.cpuNs() - cpu)
                result.arms[name]!.wallNs.append(took)
            }
            try requireCool("after \(result.arms[job.first]!.wallNs.count) inferences")
        } while result.arms[job.first]!.wallNs.count < samples && platform.monotonicNs() - begin < job.maxNs
    }

    private func measureMemory() throws {
        let begin = platform.monotonicNs()
        for _ in 0..<job.iterations {
            _ = try timed("a")
            if platform.monotonicNs() - begin >= job.maxNs { break }
        }
        result.memory?.peakInference = platform.peakFootprint()
        result.apple?.availableMemory = platform.availableMemory()
    }

    /// Idle, burst, idle. The meter is read by the host, on its own clock, so both clocks are noted.
    private func measureEnergy() throws {
        stage = .energy
        let offset = Int64(platform.unixNs()) - Int64(platform.monotonicNs())
        let begin = platform.monotonicNs()
        platform.sleep(ns: job.windowNs)
        let before = platform.monotonicNs()
        var inferences = 0, now = before
        while now - before < job.windowNs {
            try models["a"]!.predict()
            inferences += 1
            now = platform.monotonicNs()
            if inferences % 16 == 0 { try requireCool("after \(inferences) inferences") }
        }
        platform.sleep(ns: job.windowNs)
        result.energy = EnergyWindows(
            idleBefore: [begin, before], burst: [before, now], idleAfter: [now, platform.monotonicNs()],
            inferences: inferences, unixOffsetNs: offset)
    }

    private func requireCool(_ when: String) throws {
        if let thermal = platform.moment().thermal, thermal >= .serious {
            throw Failure(.run, .device, "thermal state \(thermal.rawValue) \(when): let the device cool down")
        }
    }

    /// After the timings: making the plan costs time and memory. That there is none must not lose the run.
    private func notePlacement() {
        guard job.placement else { return }
        do {
            var placed: [String: [Placed]] = [:]
            for (name, arm) in job.arms { placed[name] = try platform.placement(arm) }
            result.apple?.placement = placed.isEmpty ? nil : placed
            result.apple?.placementProblem = placed.isEmpty ? "this system does not tell where operations run" : ""
        } catch {
            result.apple?.placementProblem = "\((error as? Failure)?.message ?? "\(error)")"
        }
    }
}
