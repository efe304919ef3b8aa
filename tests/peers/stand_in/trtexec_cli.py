"""The command line of the stand-in for trtexec: options by version, settings, faults, lines."""

from __future__ import annotations

import json
import os
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
SINCE_8 = """
allowGPUFallback avgRuns avgTiming best builderOptimizationLevel calib consistency device directIO dumpLayerInfo
dumpOutput dumpProfile dumpRawBindingsToFile dumpRefit duration dynamicPlugins excludeLeanRuntime exportLayerInfo
exportOutput exportProfile exportTimes exposeDMA fp16 fp8 hardwareCompatibilityLevel help idleTime
ignoreParsedPluginLibs infStreams inputIOFormats int8 iterations layerDeviceTypes layerOutputTypes layerPrecisions
leanDLLPath loadEngine loadInputs maxAuxStreams maxShapes maxShapesCalib memPoolSize minShapes minShapesCalib
noBuilderCache noDataTransfers noTF32 onnx optShapes optShapesCalib outputIOFormats percentile persistentCacheRatio
plugins precisionConstraints preview profilingVerbosity refit restricted safe saveEngine separateProfileRun
setPluginsToSerialize shapes skipInference sleepTime sparsity staticPlugins streams tacticSources tempdir
tempfileControls threads timeDeserialize timeRefit timingCacheFile useCudaGraph useDLACore useManagedMemory useRuntime
useSpinWait vc verbose versionCompatible warmUp buildDLAStandalone
"""
ONLY_8 = "batch buildOnly deploy explicitBatch explicitPrecision heuristic maxBatch minTiming model nvtxMode output uff"
SINCE_10 = """
allocationStrategy allowWeightStreaming bf16 calibProfile dumpOptimizationProfile errorOnTimingCacheMiss
getPlanVersionOnly int4 markDebug noCompilationCache pluginInstanceNorm profile runtimePlatform saveDebugTensors
stripAllWeights stripWeights stronglyTyped useProfile weightStreamingBudget
"""
GONE_IN_11 = """
best bf16 calib calibProfile fp16 fp8 int4 int8 layerOutputTypes layerPrecisions maxShapesCalib minShapesCalib
optShapesCalib precisionConstraints restricted
"""
SINCE_11 = """
accuracyThreshold atol cpuOnly includeDataTransfers loadRefOutputs maxTactics monitorMemory noCudaGraph noSpinWait
refPair rtol saveAllDebugTensors tilingOptimizationLevel
"""
DEPRECATED_IN_11 = {
    "noDataTransfers": "Data transfers are now disabled by default. Use --includeDataTransfers to re-enable them.",
    "useSpinWait": "Spin wait is now enabled by default. Use --noSpinWait to disable spin wait.",
    "useCudaGraph": "CUDA graph is now enabled by default. Use --noCudaGraph to disable CUDA graph.",
}


# What can go wrong on a board, in the words that TensorRT has for it (collected from public bug reports).
FAULTS = {
    "memory": (
        "[TRT] Tactic Device request: 1024MB Available: 617MB. Device memory is insufficient to use tactic.",
        "Error[2]: [virtualMemoryBuffer.cpp::resizePhysical::127] Error Code 2: OutOfMemory (no further information)",
        "Error[10]: Could not find any implementation for node /conv/Conv.",
    ),
    "parse": (
        '[TRT] ModelImporter.cpp:771: While parsing node number 3 [DynamicQuantizeLinear -> "q"]:',
        "[TRT] ModelImporter.cpp:777: ERROR: In function importFallbackPluginImporter: [8] Assertion failed: creator &&"
        ' "Plugin not found, are the plugin name, version, and namespace correct?"',
        "Failed to parse onnx file",
    ),
    "disk": ("Saving engine to file failed.",),
}


class CallFailedError(Exception):
    """The call fails; the texts are printed as errors."""


class Console:
    """Lines as sample::gLogger prints them: information to stdout, warnings and errors to stderr."""

    def line(self, level: str, text: str) -> None:
        stream = sys.stderr if level in "WE" else sys.stdout
        print(time.strftime("[%m/%d/%Y-%H:%M:%S]"), f"[{level}]", text, file=stream, flush=True)

    def info(self, *texts: str) -> None:
        for text in texts:
            self.line("I", text)


class Settings:
    """trtexec.json, and what follows from the version."""

    def __init__(self) -> None:
        with open(os.path.join(HERE, "trtexec.json"), encoding="utf-8") as file:
            self.raw = json.load(file)
        self.version = tuple(int(part) for part in self.raw["version"].split("."))
        self.build = int(self.raw.get("build", 0))
        self.faults = self.raw.get("faults", {})

    @property
    def code(self) -> str:
        major, minor, patch = self.version
        return str(major * (1000 if major < 10 else 10000) + minor * 100 + patch)

    def options(self) -> set[str]:
        names = set(SINCE_8.split()) | (set(SINCE_10.split()) if self.version >= (10,) else set(ONLY_8.split()))
        if self.version >= (11,):
            names = (names - set(GONE_IN_11.split())) | set(SINCE_11.split())
        return names

    def banner(self) -> str:
        tag = f" [b{self.build}]" if self.version >= (10, 13) else ""
        return f"TensorRT.trtexec [TensorRT v{self.code}]{tag} # {' '.join(sys.argv)}"
