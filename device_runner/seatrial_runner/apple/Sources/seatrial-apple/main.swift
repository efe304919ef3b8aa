// macOS: `seatrial-apple JOBFILE` makes one run in this process and prints its result and the end marker;
// `seatrial-apple --identify` says which device this is.
import Foundation
import SeatrialCore
import SeatrialCoreML

guard CommandLine.arguments.count == 2 else {
    FileHandle.standardError.write(Data("usage: seatrial-apple JOBFILE | --identify\n".utf8))
    exit(2)
}
let folder = URL(fileURLWithPath: FileManager.default.currentDirectoryPath, isDirectory: true)
let platform = ApplePlatform(folder: folder, confined: false)
if CommandLine.arguments[1] == "--identify" {
    let known = Introduction(platform)
    FileHandle.standardOutput.write((try? JSONEncoder().encode(known)) ?? Data())
    exit(0)
}
let job = (try? Data(contentsOf: URL(fileURLWithPath: CommandLine.arguments[1]))) ?? Data()
// Frameworks print to stdout at will; only our two lines may reach the host there.
let out = dup(1)
dup2(2, 1)
let text = Measurement.text(of: job, on: platform)
FileHandle(fileDescriptor: out).write(text)
_exit(0)
