#!/usr/bin/env python3
"""A stand-in for NVIDIA's trtexec: no GPU, no TensorRT, and every output says so.

It speaks the command lines of 8.6, 10.3 and 11 as their sources have them (samples/common/sampleOptions.cpp and
sampleReporting.cpp of NVIDIA/TensorRT at v8.6.1, v10.3.0, v11.1): which options exist, which defaults hold, what goes
to stdout and what to stderr, what the exported files look like. Outputs are computed for real, by ONNX Runtime with its
optimiser off, and times are its own clock's: true of this process, and of no GPU.

How it shall behave stands in trtexec.json beside it: {"version": "10.3.0", "build": 30, "gpu": "Orin", "sms": 8,
"plain": true, "faults": {"build": ..., "run": ..., "device": ...}}.
"""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import sys
import time
from typing import Any

from trtexec_cli import DEPRECATED_IN_11, FAULTS, CallFailedError, Console, Settings
from trtexec_engine import OrtEngine, PlainEngine
from trtexec_files import summary, write_output, write_profile, write_times
from trtexec_onnx import layer_info

PLAN_TAG = 0x74727466


class Trtexec:
    """One call."""

    def __init__(self, settings: Settings, arguments: list[str]) -> None:
        self.settings, self.console = settings, Console()
        pairs = [argument.partition("=") for argument in arguments]
        self.given = {name[2:] if name.startswith("--") else name: value for name, _, value in pairs}
        self.effective: dict[str, bool] = {}

    def main(self) -> int:
        print("&&&& RUNNING", self.settings.banner(), flush=True)
        self.console.info("SEATRIAL STAND-IN: no GPU and no TensorRT; times are those of ONNX Runtime on this CPU")
        if "help" in self.given or not self.given:
            print("=== Build Options ===\n" + "\n".join(f"  --{name}" for name in sorted(self.settings.options())))
            return 0
        unknown = sorted(set(self.given) - self.settings.options())
        if unknown:
            for name in unknown:
                self.console.line("E", f"Unknown option: --{name} {self.given[name]}")
            return self._ended("FAILED") if self.settings.version < (11,) else 1  # 11 says nothing more
        try:
            self._run()
        except CallFailedError as error:
            for text in error.args:
                self.console.line("E", text)
            return self._ended("FAILED")
        return self._ended("PASSED")

    def _ended(self, how: str) -> int:
        print("&&&&", how, self.settings.banner(), flush=True)
        return int(how == "FAILED")

    def _run(self) -> None:
        self.effective = self._defaults()
        self._echo()
        self._device()
        plan = self._load() if "loadEngine" in self.given else self._build()
        if "skipInference" in self.given or "buildOnly" in self.given:
            self._layers(plan)
            self.console.info("Skipped inference phase since --skipInference is added.")
        else:
            self._infer(plan)

    def _defaults(self) -> dict[str, bool]:
        given, new = self.given, self.settings.version >= (11,)
        for name in sorted(set(DEPRECATED_IN_11) & set(given)) if new else ():
            self.console.line("W", f"--{name} is deprecated. {DEPRECATED_IN_11[name]}")
        return {
            "Data transfers": "includeDataTransfers" in given if new else "noDataTransfers" not in given,
            "Spin-wait": "noSpinWait" not in given if new else "useSpinWait" in given,
            "CUDA Graph": "noCudaGraph" not in given if new else "useCudaGraph" in given,
        }

    def _number(self, name: str, default: float) -> float:
        return float(self.given.get(name) or default)

    def _echo(self) -> None:
        words = {True: "Enabled", False: "Disabled"}
        if "loadEngine" not in self.given or self.settings.version < (11,):
            self.console.info(
                "=== Build Options ===", "Precision: FP32", f"Save engine: {self.given.get('saveEngine')}"
            )
        duration = f"{self._number('duration', 3):g}s (+ {self._number('warmUp', 200):g}ms warm up)"
        self.console.info(
            "=== Inference Options ===",
            "Batch: Explicit",
            f"Iterations: {self._number('iterations', 10):g}",
            f"Duration: {duration}",
            *("Sleep time: 0ms", "Idle time: 0ms", "Inference Streams: 1", "ExposeDMA: Disabled"),
            *(f"{name}: {words[value]}" for name, value in self.effective.items()),
            "Multithreading: Disabled",
            "Inputs:",
            *(f"{name}<-{file}" for name, file in self._files()),
            "=== Reporting Options ===",
            "Verbose: Disabled",
        )

    def _files(self) -> list[tuple[str, str]]:
        pairs = [part.rpartition(":") for part in self.given.get("loadInputs", "").split(",") if part]
        return [(name.replace("'", ""), file) for name, _, file in pairs]

    def _device(self) -> None:
        raw = self.settings.raw
        gpu = raw.get("gpu", "Orin")
        if self.settings.faults.get("device") == "none":
            raise CallFailedError("Cuda failure: no CUDA-capable device is detected")
        self.console.info(
            "=== Device Information ===",
            "Available Devices: ",
            f'  Device 0: "{gpu}" UUID: GPU-00000000-0000-0000-0000-000000000000',
            f"Selected Device: {gpu}",
            "Selected Device ID: 0",
            f"Compute Capability: {raw.get('capability', '8.7')}",
            f"SMs: {raw.get('sms', 8)}",
            "Device Global Memory: 7620 MiB",
            "",
            f"TensorRT version: {'.'.join(map(str, self.settings.version))}",
            "Loading standard plugins",
        )

    def _header(self) -> bytes:
        return struct.pack("<II16x4B", PLAN_TAG, 0, *self.settings.version, self.settings.build)

    def _load(self) -> dict[str, Any]:
        path = self.given["loadEngine"]
        try:
            with open(path, "rb") as file:
                raw = file.read()
        except OSError:
            ending = ("Failed to create engine from model or file.", "Engine set up failed")
            raise CallFailedError(f"Error opening engine file: {path}", *ending) from None
        self.console.info("Engine loaded in 0.001 sec.", f"Loaded engine with size: {len(raw) / 2**20:g} MiB")
        if raw[24:28] != self._header()[24:28]:
            want, got = (".".join(map(str, blob[24:28])) for blob in (self._header(), raw))
            raise CallFailedError(
                "Error[6]: The engine plan file is not compatible with this version of TensorRT, expecting library"
                f" version {want} got {got}, please rebuild.",
                *("Engine deserialization failed", "Got invalid engine!", "Inference set up failed"),
            )
        size = struct.unpack("<I", raw[28:32])[0]
        return {**json.loads(raw[32 : 32 + size]), "model": raw[32 + size :]}

    def _build(self) -> dict[str, Any]:
        fault = self.settings.faults.get("build")
        if fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "slow":
            time.sleep(30)
        if fault in FAULTS:
            raise CallFailedError(*FAULTS[fault])
        begin = time.monotonic()
        with open(self.given["onnx"], "rb") as file:
            model = file.read()
        self._engine(model)
        self._timing_cache()
        if fault == "tactics":
            self.console.line("W", FAULTS["memory"][0])
        about = {"detailed": self.given.get("profilingVerbosity") == "detailed", "flags": sorted(sys.argv[1:])}
        text = json.dumps(about).encode()
        blob = self._header() + struct.pack("<I", len(text)) + text + model
        built = f"Engine built in {time.monotonic() - begin:g} sec."
        self.console.info(built, f"Created engine with size: {len(blob) / 2**20:g} MiB")
        if "saveEngine" in self.given:
            with open(self.given["saveEngine"], "wb") as file:
                file.write(blob)
        return {**about, "model": model}

    def _timing_cache(self) -> None:
        path = self.given.get("timingCacheFile")
        if not path:
            return
        if os.path.exists(path):
            self.console.info(f"Loaded {os.path.getsize(path)} bytes of timing cache from {path}")
        with open(path, "ab") as file:
            file.write(b"SEATRIAL STAND-IN timing cache\n")
        self.console.info(f"Saved {os.path.getsize(path)} bytes of timing cache to {path}")

    def _layers(self, plan: dict[str, Any]) -> None:
        if "exportLayerInfo" in self.given:
            tensors = "I/O Tensors" if self.settings.version >= (11,) else "Bindings"
            with open(self.given["exportLayerInfo"], "w", encoding="utf-8") as file:
                json.dump(layer_info(plan["model"], plan["detailed"], tensors), file)

    def _engine(self, model: bytes, profile: str = "") -> Any:
        try:
            return (PlainEngine if self.settings.raw.get("plain") else OrtEngine)(model, profile)
        except Exception as error:
            raise CallFailedError(f"[TRT] ModelImporter.cpp:771: {str(error)[:300]}", "Parsing model failed") from None

    def _infer(self, plan: dict[str, Any]) -> None:
        begin = time.monotonic()
        engine = self._engine(plan["model"])
        loaded = f"Engine deserialized in {time.monotonic() - begin:g} sec."
        self.console.info(loaded, "Created execution context with device memory size: 1.5 MiB")
        feed = self._feed(engine)
        if self.effective["CUDA Graph"] and self.settings.faults.get("run") == "graph":
            text = "The built TensorRT engine contains operations that are not permitted under CUDA graph capture mode."
            self.console.line("W", text)
        self._layers(plan)
        self.console.info("Starting inference")
        outputs, rows = self._loop(engine, feed)
        self.console.info(*summary(rows))
        bound = "* Throughput may be bound by Enqueue Time rather than GPU Compute and the GPU may be under-utilized."
        self.console.line("W", bound)
        self._export(plan, feed, engine.outputs, [engine.array(value) for value in outputs], rows)

    def _export(self, plan: dict[str, Any], feed: Any, names: list[str], outputs: list[Any], rows: list[Any]) -> None:
        if "exportTimes" in self.given:
            write_times(self.given["exportTimes"], rows)
        if "exportOutput" in self.given:
            scalar = "scalar" if self.settings.version >= (10,) else ""
            write_output(self.given["exportOutput"], names, self._spoiled(outputs), scalar)
        if "exportProfile" in self.given:
            path = self.given["exportProfile"]
            write_profile(path, self._engine(plan["model"], path + ".ort").session, feed)

    def _spoiled(self, outputs: list[Any]) -> list[Any]:
        if self.settings.faults.get("run") != "wrong":
            return outputs
        return [each._replace(values=[value + 1 for value in each.values]) for each in outputs]

    def _feed(self, engine: Any) -> dict[str, Any]:
        files, feed = dict(self._files()), {}
        for name, model in engine.inputs.items():
            shape = self._shapes().get(name) or [d if isinstance(d, int) else 1 for d in model]
            kind = f"values loaded from {files[name]}" if name in files else "random values"
            self.console.info(f"Using {kind} for input {name}")
            raw = self._loaded(files[name], math.prod(shape) * engine.size(name)) if name in files else None
            feed[name] = engine.tensor(name, shape, raw)
        return feed

    def _shapes(self) -> dict[str, list[int]]:
        pairs = [part.rpartition(":") for part in self.given.get("shapes", "").split(",") if part]
        return {name.replace("'", ""): [int(d) for d in dims.split("x")] for name, _, dims in pairs}

    def _loaded(self, path: str, want: int) -> bytes:
        with open(path, "rb") as file:
            raw = file.read()
        if len(raw) not in (want, want * 2):
            raise CallFailedError(
                f"Uncaught exception detected: Unexpected file size for input file: {path}. Note: Input binding size"
                f" is: {want} bytes but the file size is {len(raw)} bytes."
            )
        return raw[:want]

    def _loop(self, engine: Any, feed: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        """Query until there were enough iterations, and time enough after the warm-up, as inferenceLoop does."""
        start, rows = time.monotonic(), []
        warmup, duration = self._number("warmUp", 200), self._number("duration", 3) * 1000
        least, counted = int(self._number("iterations", 10)), 0
        while True:
            outputs, row = self._query(engine, feed, start)
            rows.append(row)
            counted += row[0] >= warmup
            if counted >= least and row[0] >= warmup + duration:
                return outputs, [row for row in rows if row[0] >= warmup]

    def _query(self, engine: Any, feed: dict[str, Any], start: float) -> tuple[list[Any], tuple[float, ...]]:
        transfers, begin = self.effective["Data transfers"], time.monotonic()
        given = {name: value.copy() for name, value in feed.items()} if transfers else feed
        at = time.monotonic()
        outputs = engine.infer(given)
        end = time.monotonic()
        outputs = [value.copy() for value in outputs] if transfers else outputs
        over = time.monotonic()
        h2d, d2h = (at - begin, over - end) if transfers else (0.0, 0.0)
        return outputs, ((at - start) * 1000, h2d * 1000, (end - at) * 1000, d2h * 1000)


if __name__ == "__main__":
    sys.exit(Trtexec(Settings(), sys.argv[1:]).main())
