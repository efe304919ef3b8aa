// The iOS app: makes the run that the host left in Documents/seatrial/job.json, once per launch, and leaves the result
// beside it. A run is a fresh process, so the host launches the app anew for each.
import SeatrialCore
import SeatrialCoreML
import SwiftUI

@main
struct SeatrialRunnerApp: App {
    @StateObject private var run = Run()

    var body: some Scene {
        WindowGroup { StatusView(run: run).task { await run.begin() } }
    }
}

@MainActor
final class Run: ObservableObject {
    @Published var words = "Looking for a job"

    private let folder = FileManager.default.urls(for: .documentDirectory, in: .userDomainMask)[0]
        .appendingPathComponent("seatrial", isDirectory: true)

    func begin() async {
        UIApplication.shared.isIdleTimerDisabled = true
        UIDevice.current.isBatteryMonitoringEnabled = true
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let file = folder.appendingPathComponent("job.json"), folder = folder
        guard let job = try? Data(contentsOf: file) else {
            words = "No job. Leave this app installed; seatrial on your computer starts it."
            return
        }
        words = "Measuring. Keep the screen on and this app in front."
        // Taken away first: a launch by hand must not repeat an old job.
        try? FileManager.default.removeItem(at: file)
        await Task.detached(priority: .userInitiated) {
            let text = Measurement.text(of: job, on: ApplePlatform(folder: folder, confined: true))
            // Atomic, so the host never reads half a result.
            try? text.write(to: folder.appendingPathComponent("result.json"), options: .atomic)
        }.value
        words = "Done. The result is with your computer."
        if ProcessInfo.processInfo.arguments.contains("--once") { exit(0) }
    }
}

struct StatusView: View {
    @ObservedObject var run: Run

    var body: some View {
        VStack(spacing: 16) {
            Text("Seatrial Runner").font(.headline)
            Text(run.words).multilineTextAlignment(.center)
        }
        .padding()
    }
}
