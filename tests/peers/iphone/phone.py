"""The phone itself: usbmuxd's socket, lockdownd, and the services that a runner needs."""

from __future__ import annotations

import contextlib
import os
import plistlib
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from seatrial_runner.apple import APP_ID

from .afc import Afc
from .dtx import Dtx
from .wire import read_mux, read_plist, write_mux, write_plist

UDID = "00008110-000A1B2C3D4E001E"
LOCKDOWN = 62078
PUBLIC_KEY = rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
VALUES = {
    "DeviceName": "stand-in", "DeviceClass": "iPhone", "ProductType": "iPhone14,5", "ProductVersion": "16.7.2",
    "BuildVersion": "20H115", "UniqueDeviceID": UDID, "UniqueChipID": 1234, "HardwareModel": "D17AP",
    "WiFiAddress": "aa:bb:cc:dd:ee:ff", "CPUArchitecture": "arm64e", "TimeZone": "UTC", "BasebandStatus": "x",
    "DevicePublicKey": PUBLIC_KEY, "PasswordProtected": False,
}  # fmt: skip
ATTACHED = {"ConnectionType": "USB", "DeviceID": 1, "SerialNumber": UDID, "LocationID": 0, "ProductID": 4776}
PAIR = {
    "HostID": "H", "SystemBUID": "B", "HostPrivateKey": b"k", "HostCertificate": b"c", "RootCertificate": b"r",
    "DeviceCertificate": b"d", "WiFiMACAddress": "aa:bb:cc:dd:ee:ff",
}  # fmt: skip
BATTERY = {
    "InstantAmperage": -412,
    "Amperage": -400,
    "Temperature": 3120,
    "Voltage": 4000,
    "UpdateTime": 1_767_225_600,
    "IsCharging": False,
    "ExternalConnected": True,
    "CurrentCapacity": 87,
}
RUNNER = Path(__file__).parents[1] / "apple_runner.py"


class StandInPhone:
    """A phone that is plugged in; its attributes are what goes wrong with phones.

    ``trusted`` False: the human has not said Trust. ``locked`` True: the passcode was not entered. ``developer_mode``,
    ``installed``: not set up. ``silent``: the app starts and leaves no result. `unplug` cuts the cable.
    """

    def __init__(self, folder: Path) -> None:
        self.container = folder / "container"
        (self.container / "Documents").mkdir(parents=True)
        self.trusted = self.developer_mode = self.installed = self.plugged = True
        self.locked = self.silent = False
        self.battery = dict(BATTERY)
        self.environment: dict[str, str] = {}
        self.launches = 0
        self._connections: list[socket.socket] = []
        self._services: dict[int, str] = {}
        self._server = self._listen()

    def _listen(self) -> socketserver.ThreadingTCPServer:
        phone = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                phone._connections.append(self.request)
                with contextlib.suppress(EOFError, OSError):
                    phone._usbmuxd(self.request)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    @property
    def address(self) -> str:
        """What USBMUXD_SOCKET_ADDRESS has to be."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def unplug(self) -> None:
        """Cut the cable: the phone is gone, with all its connections."""
        self.plugged = False
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self.unplug()
        self._server.shutdown()
        self._server.server_close()

    def _usbmuxd(self, stream: socket.socket) -> None:
        while True:
            asked, tag = read_mux(stream)
            kind = asked["MessageType"]
            attached = {"DeviceID": 1, "MessageType": "Attached", "Properties": ATTACHED}
            if kind == "ListDevices":
                write_mux(stream, {"DeviceList": [attached] if self.plugged else []}, tag)
            elif kind == "ReadBUID":
                write_mux(stream, {"BUID": "B"}, tag)
            elif kind == "ReadPairRecord":
                unpaired = {"MessageType": "Result", "Number": 2}
                write_mux(stream, {"PairRecordData": plistlib.dumps(PAIR)} if self.trusted else unpaired, tag)
            elif kind == "Connect" and self.plugged:
                write_mux(stream, {"MessageType": "Result", "Number": 0}, tag)
                self._serve(stream, socket.ntohs(asked["PortNumber"]))
                return
            else:
                write_mux(stream, {"MessageType": "Result", "Number": 2 if kind == "Connect" else 0}, tag)

    def _serve(self, stream: socket.socket, port: int) -> None:
        services = {
            "com.apple.mobile.house_arrest": self._house_arrest,
            "com.apple.mobile.installation_proxy": self._installation,
            "com.apple.mobile.diagnostics_relay": self._diagnostics,
            "com.apple.instruments.remoteserver.DVTSecureSocketProxy": lambda s: Dtx(s, self._launch).serve(),
        }
        if port == LOCKDOWN:
            self._lockdown(stream, services)
        else:
            services[self._services[port]](stream)

    def _lockdown(self, stream: socket.socket, services: dict[str, Any]) -> None:
        while True:
            asked = read_plist(stream)
            write_plist(stream, {"Request": asked["Request"], **self._lockdown_answer(asked, services)})

    def _lockdown_answer(self, asked: dict[str, Any], services: dict[str, Any]) -> dict[str, Any]:
        request = asked["Request"]
        if request == "QueryType":
            return {"Type": "com.apple.mobile.lockdown"}
        if request == "GetValue":
            return self._value(asked)
        if request == "Pair":
            return {"Error": "PasswordProtected" if self.locked else "PairingDialogResponsePending"}
        if request == "StartSession":
            return {"Error": "PasswordProtected"} if self.locked else {"SessionID": "S", "EnableSessionSSL": False}
        if request == "StartService":
            name = asked["Service"]
            if name not in services or ("instruments" in name and not self.developer_mode):
                return {"Error": "InvalidService"}
            port = 50000 + list(services).index(name)
            self._services[port] = name
            return {"Port": port, "Service": name}
        return {}

    def _value(self, asked: dict[str, Any]) -> dict[str, Any]:
        key = asked.get("Key")
        if key == "DeveloperModeStatus":
            return {"Value": self.developer_mode}
        if asked.get("Domain"):
            return {"Value": {}}
        if key is None:
            return {"Value": VALUES}
        return {"Value": VALUES[key]} if key in VALUES else {"Error": "MissingValue"}

    def _house_arrest(self, stream: socket.socket) -> None:
        asked = read_plist(stream)
        if asked["Identifier"] != APP_ID or not self.installed:
            write_plist(stream, {"Error": "ApplicationLookupFailed"})
            return
        write_plist(stream, {"Status": "Complete"})
        Afc(stream, self.container.resolve()).serve()

    def _installation(self, stream: socket.socket) -> None:
        app = {"CFBundleIdentifier": APP_ID, "CFBundleName": "SeatrialRunner", "CFBundleShortVersionString": "1.0"}
        apps = {APP_ID: {**app, "ApplicationType": "User", "Path": "/private/var/x.app"}} if self.installed else {}
        while True:
            command = read_plist(stream)["Command"]
            if command == "Lookup":
                write_plist(stream, {"LookupResult": apps, "Status": "Complete"})
            elif command == "Browse":
                write_plist(stream, {"CurrentList": list(apps.values()), "Status": "BrowsingApplications"})
                write_plist(stream, {"Status": "Complete"})
            else:
                write_plist(stream, {"Status": "Complete"})

    def _diagnostics(self, stream: socket.socket) -> None:
        while True:
            asked = read_plist(stream)
            found = {"IORegistry": self.battery} if asked["Request"] == "IORegistry" else {}
            write_plist(stream, {"Status": "Success", "Diagnostics": found})

    def _launch(self, bundle_id: str) -> int:
        """Start the app: it takes the job away, makes the run, leaves the result."""
        self.launches += 1
        folder = self.container / "Documents" / "seatrial"
        job = folder / "job.json"
        if bundle_id == APP_ID and job.exists() and not self.silent:
            text = job.read_text()
            job.unlink()
            threading.Thread(target=self._run, args=(folder, text), daemon=True).start()
        return 4000 + self.launches

    def _run(self, folder: Path, text: str) -> None:
        private = folder / ".job"
        private.write_text(text)
        argv = [sys.executable, RUNNER, str(private)]
        done = subprocess.run(
            argv, cwd=folder, env={**os.environ, **self.environment}, capture_output=True, check=False
        )
        if self.plugged:
            (folder / ".result").write_bytes(done.stdout)
            (folder / ".result").rename(folder / "result.json")
