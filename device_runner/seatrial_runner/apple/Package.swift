// swift-tools-version:5.9
// The runner for Apple devices. SeatrialCore knows only Foundation, so that it is built and tested on Linux, too.
import PackageDescription

var products: [Product] = [.library(name: "SeatrialCore", targets: ["SeatrialCore"])]
var targets: [Target] = [
    .target(name: "SeatrialCore"),
    .executableTarget(name: "seatrial-vectors", dependencies: ["SeatrialCore"]),
]
#if os(macOS)
products.append(.library(name: "SeatrialCoreML", targets: ["SeatrialCoreML"]))
products.append(.executable(name: "seatrial-apple", targets: ["seatrial-apple"]))
targets.append(.target(name: "SeatrialCoreML", dependencies: ["SeatrialCore"]))
targets.append(.executableTarget(name: "seatrial-apple", dependencies: ["SeatrialCore", "SeatrialCoreML"]))
#endif

let package = Package(
    name: "SeatrialApple",
    platforms: [.macOS(.v13), .iOS(.v16)],
    products: products,
    targets: targets
)
