// macOS: `seatrial-apple JOBFILE` makes one run in this process and prints its result and the end marker.
import Foundation
import SeatrialCore
import SeatrialCoreML

guard CommandLine.arguments.count == 2 else {
    FileHandle.standardError.write(Data("usage: seatrial-apple JOBFILE\n".utf8))
    exit(2)
}
let folder = URL(fileURLWithPath: FileManager.default.currentDirectoryPath, isDirectory: true)
let job = (try? Data(contentsOf: URL(fileURLWithPath: CommandLine.arguments[1]))) ?? Data()
// Frameworks print to stdout at will; only our two lines may reach the host there.
let out = dup(1)
dup2(2, 1)
let text = Measurement.text(of: job, on: ApplePlatform(folder: folder, confined: false))
FileHandle(fileDescriptor: out).write(text)
_exit(0)
