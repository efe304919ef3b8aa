// The core against a made-up device: `seatrial-vectors FOLDER` reads FOLDER/vector.json, makes the run that it describes on
// a clock that only moves when the vector says so, and prints the result. No figure of it is measured; it is stamped.
import Foundation
import SeatrialCore

struct MadeModel: Decodable {
    let compileNs: UInt64?
    let loadNs: UInt64
    let durationsNs: [UInt64]  // of the inferences, in turn, over and over
    let outputs: [String: [Double]]
}

struct Vector: Decodable {
    let models: [String: MadeModel]
    let hotAfterInferences: Int?
    let footprints: [UInt64]?
    let placement: [Placed]?
}

final class MadeDevice: Platform {
    private let folder: URL, vector: Vector
    private var nowNs: UInt64 = 0, inferences = 0, footprintsRead = 0

    init(_ vector: Vector, _ folder: URL) { (self.vector, self.folder) = (vector, folder) }

    let identity = Identity(model: "Made1,1", os: "made 1.0", build: "1A1")
    let stamp = "contract vector"
    func file(_ path: String) throws -> URL { folder.appendingPathComponent(path) }
    func monotonicNs() -> UInt64 { nowNs }
    func cpuNs() -> UInt64 { nowNs / 2 }
    func unixNs() -> UInt64 { nowNs + 1_000_000_000_000 }
    func sleep(ns: UInt64) { nowNs += ns }
    func sinceProcessStartNs() -> UInt64? { nowNs }
    func availableMemory() -> UInt64? { 1 << 30 }
    func peakFootprint() -> UInt64? { footprint() }
    func placement(_ arm: ArmSpec) throws -> [Placed]? { vector.placement }

    func footprint() -> UInt64? {
        guard let all = vector.footprints, footprintsRead < all.count else { return nil }
        footprintsRead += 1
        return all[footprintsRead - 1]
    }

    func moment() -> Moment {
        let hot = vector.hotAfterInferences.map { inferences >= $0 } ?? false
        return Moment(thermal: hot ? .serious : .nominal, lowPowerMode: false, batteryLevel: 0.5, charging: false)
    }

    func load(_ arm: ArmSpec, inputs: [Tensor]) throws -> Loaded {
        guard let made = vector.models[arm.model] else { throw Failure(.session, .user, "\(arm.model) is not there") }
        nowNs += (made.compileNs ?? 0) + made.loadNs
        return Loaded(model: Model(made, self), compileNs: made.compileNs, loadNs: made.loadNs)
    }

    final class Model: LoadedModel {
        private let made: MadeModel, device: MadeDevice
        private var count = 0

        init(_ made: MadeModel, _ device: MadeDevice) { (self.made, self.device) = (made, device) }

        func predict() throws {
            device.nowNs += made.durationsNs[count % made.durationsNs.count]
            count += 1
            device.inferences += 1
        }

        func outputs() throws -> [String: [Double]] { made.outputs }
    }
}

let folder = URL(fileURLWithPath: CommandLine.arguments[1], isDirectory: true)
let decoder = JSONDecoder()
decoder.keyDecodingStrategy = .convertFromSnakeCase
decoder.nonConformingFloatDecodingStrategy = .convertFromString(
    positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
let vector = try decoder.decode(Vector.self, from: Data(contentsOf: folder.appendingPathComponent("vector.json")))
let job = try Data(contentsOf: folder.appendingPathComponent("job.json"))
FileHandle.standardOutput.write(Measurement.text(of: job, on: MadeDevice(vector, folder)))
