// An Apple device as the core's `Platform`: clocks, memory, heat, battery, and where Core ML places operations.
import CoreML
import Foundation
import SeatrialCore
#if os(iOS)
import UIKit
#endif

public struct ApplePlatform: Platform {
    private let folder: URL
    private let confined: Bool

    /// `confined`: no path of a job may leave `folder` (the app's own, on a phone).
    public init(folder: URL, confined: Bool) { (self.folder, self.confined) = (folder, confined) }

    public var identity: Identity {
        #if os(iOS)
        let (model, system) = (control("hw.machine"), "iOS")
        #else
        let (model, system) = (control("hw.model"), "macOS")
        #endif
        let version = ProcessInfo.processInfo.operatingSystemVersion
        let patch = version.patchVersion > 0 ? ".\(version.patchVersion)" : ""
        return Identity(
            model: model, os: "\(system) \(version.majorVersion).\(version.minorVersion)\(patch)",
            build: control("kern.osversion"))
    }

    public var stamp: String {
        #if targetEnvironment(simulator)
        return "iOS Simulator"
        #else
        return control("kern.hv_vmm_present") == "1" ? "virtual machine" : ""
        #endif
    }

    public func file(_ path: String) throws -> URL {
        let parts = path.split(separator: "/")
        if confined && (path.hasPrefix("/") || parts.contains("..")) {
            throw Failure(.job, .harness, "\(path) leaves the app's folder")
        }
        return URL(fileURLWithPath: path, relativeTo: folder)
    }

    public func load(_ arm: ArmSpec, inputs: [Tensor]) throws -> Loaded {
        let source = try file(arm.model)
        var compiled = source, compileNs: UInt64?
        if source.pathExtension != "mlmodelc" {
            let begin = monotonicNs()
            compiled = try MLModel.compileModel(at: source)
            compileNs = monotonicNs() - begin
        }
        defer { if compiled != source { try? FileManager.default.removeItem(at: compiled) } }
        let begin = monotonicNs()
        let model = try MLModel(contentsOf: compiled, configuration: configuration(arm))
        let loadNs = monotonicNs() - begin
        return Loaded(
            model: try CoreMLModel(model, inputs: Array(zip(arm.inputs, inputs))), compileNs: compileNs, loadNs: loadNs)
    }

    private func configuration(_ arm: ArmSpec) -> MLModelConfiguration {
        let made = MLModelConfiguration()
        let units: [String: MLComputeUnits] = [
            "CPU_ONLY": .cpuOnly, "CPU_AND_GPU": .cpuAndGPU, "CPU_AND_NE": .cpuAndNeuralEngine,
        ]
        made.computeUnits = units[arm.computeUnits] ?? .all
        return made
    }

    public func monotonicNs() -> UInt64 { clock_gettime_nsec_np(CLOCK_UPTIME_RAW) }
    public func cpuNs() -> UInt64 { clock_gettime_nsec_np(CLOCK_PROCESS_CPUTIME_ID) }
    public func unixNs() -> UInt64 { clock_gettime_nsec_np(CLOCK_REALTIME) }
    public func sleep(ns: UInt64) { Thread.sleep(forTimeInterval: Double(ns) / 1e9) }

    public func sinceProcessStartNs() -> UInt64? {
        var info = kinfo_proc(), size = MemoryLayout<kinfo_proc>.stride
        var name = [CTL_KERN, KERN_PROC, KERN_PROC_PID, getpid()]
        guard sysctl(&name, 4, &info, &size, nil, 0) == 0 else { return nil }
        let began = info.kp_proc.p_starttime
        let beganNs = UInt64(began.tv_sec) * 1_000_000_000 + UInt64(began.tv_usec) * 1_000
        return unixNs() > beganNs ? unixNs() - beganNs : nil
    }

    public func footprint() -> UInt64? { vmInfo().map { UInt64($0.phys_footprint) } }
    public func peakFootprint() -> UInt64? { vmInfo().map { UInt64(max(0, $0.ledger_phys_footprint_peak)) } }

    private func vmInfo() -> task_vm_info_data_t? {
        var info = task_vm_info_data_t()
        var count = mach_msg_type_number_t(MemoryLayout<task_vm_info_data_t>.size / MemoryLayout<natural_t>.size)
        let status = withUnsafeMutablePointer(to: &info) {
            $0.withMemoryRebound(to: integer_t.self, capacity: Int(count)) {
                task_info(mach_task_self_, task_flavor_t(TASK_VM_INFO), $0, &count)
            }
        }
        return status == KERN_SUCCESS ? info : nil
    }

    public func availableMemory() -> UInt64? {
        #if os(iOS)
        return UInt64(os_proc_available_memory())
        #else
        return nil
        #endif
    }

    public func moment() -> Moment {
        let process = ProcessInfo.processInfo
        let states: [ProcessInfo.ThermalState: Thermal] = [
            .nominal: .nominal, .fair: .fair, .serious: .serious, .critical: .critical,
        ]
        var now = Moment(
            thermal: states[process.thermalState], lowPowerMode: process.isLowPowerModeEnabled, batteryLevel: nil,
            charging: nil)
        #if os(iOS)
        let device = UIDevice.current
        if device.batteryLevel >= 0 { now.batteryLevel = Double(device.batteryLevel) }
        now.charging = device.batteryState == .charging || device.batteryState == .full
        #endif
        return now
    }

    public func placement(_ arm: ArmSpec) throws -> [Placed]? {
        guard #available(macOS 14.4, iOS 17.4, *) else { return nil }
        let source = try file(arm.model), configuration = configuration(arm)
        return try waiting {
            let compiled = source.pathExtension == "mlmodelc" ? source : try await MLModel.compileModel(at: source)
            defer { if compiled != source { try? FileManager.default.removeItem(at: compiled) } }
            return placed(in: try await MLComputePlan.load(contentsOf: compiled, configuration: configuration))
        }
    }

    private func control(_ name: String) -> String {
        var size = 0
        guard sysctlbyname(name, nil, &size, nil, 0) == 0, size > 0 else { return "" }
        var raw = [UInt8](repeating: 0, count: size)
        sysctlbyname(name, &raw, &size, nil, 0)
        if name == "kern.hv_vmm_present" { return raw.first == 1 ? "1" : "0" }
        return String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
    }
}

@available(macOS 14.4, iOS 17.4, *)
private func placed(in plan: MLComputePlan) -> [Placed] {
    guard case .program(let program) = plan.modelStructure, let main = program.functions["main"] else { return [] }
    return main.block.operations.filter { $0.operatorName != "const" }.compactMap { operation in
        guard let usage = plan.deviceUsage(for: operation) else { return nil }
        return Placed(
            name: operation.outputs.first?.name ?? "", op: operation.operatorName, unit: unit(usage.preferred),
            supported: usage.supported.map(unit), cost: plan.estimatedCost(of: operation)?.weight)
    }
}

@available(macOS 14.4, iOS 17.4, *)
private func unit(_ device: MLComputeDevice) -> String {
    switch device {
    case .cpu: return "CPU"
    case .gpu: return "GPU"
    case .neuralEngine: return "NE"
    @unknown default: return "other"
    }
}

private final class Box<T>: @unchecked Sendable { var value: Result<T, Error>? }

/// Core ML tells of placement asynchronously only; a run has nothing else to do.
private func waiting<T>(_ work: @escaping () async throws -> T) throws -> T {
    let done = DispatchSemaphore(value: 0), box = Box<T>()
    Task.detached {
        do { box.value = .success(try await work()) } catch { box.value = .failure(error) }
        done.signal()
    }
    done.wait()
    return try box.value!.get()
}
