"""The child process: loads a network into one engine and runs it on request.

A script of its own that needs numpy and its engine only, so that PyTorch may be another Python's. An engine
has a process of its own for its threads and its memory; the parent (running.py) gives turns. Protocol: the
job is a JSON object, the argument; then a line out when the network is loaded and has run once; then for each
line in, a number of calls, a line out with their times.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Job = dict[str, Any]


class Engine(NamedTuple):
    """A loaded network. run gives its outputs; each engine's own arrays, nothing is copied."""

    name: str
    run: Callable[[], Any]


def open_darknet_py(job: Job, x: Any) -> Engine:
    """Planned inference, into the same arrays each time, as OpenVINO's."""
    dn = import_module("darknet_py")
    net = dn.Network(
        job["cfg"],
        job["weights"],
        width=job["width"],
        height=job["height"],
        dialect=job["dialect"],
        memory=job["memory"],
        threads=job["threads"],
    )
    session = net.session()
    out = session.predict(x)
    return Engine(f"darknet_py {dn.__version__} ({dn.cpu_level()})", lambda: session.predict(x, out))


def open_onnxruntime(job: Job, x: Any) -> Engine:
    """All graph optimisations; its threads spin during a call, not after it, when others have their turn."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    session = runtime.InferenceSession(job["onnx"], options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return Engine(f"ONNX Runtime {runtime.__version__}", lambda: session.run(None, {name: x}))


def open_openvino(job: Job, x: Any) -> Engine:
    """float32 forced: by default it computes in bfloat16 where the processor can."""
    openvino = import_module("openvino")
    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": job["threads"],
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(core.read_model(job["onnx"]), "CPU", settings)
    request = compiled.create_infer_request()
    tensor = openvino.Tensor(x, shared_memory=True)
    request.set_input_tensor(tensor)

    def run() -> Any:
        request.infer()
        return [request.get_output_tensor(i).data for i in range(len(compiled.outputs))]

    return Engine(f"OpenVINO {openvino.__version__.split('-')[0]}", run)


def open_opencv(job: Job, x: Any) -> Engine:
    """Its ONNX importer, which gives the same outputs; its Darknet importer decodes heads, too."""
    cv2 = import_module("cv2")
    cv2.setNumThreads(job["threads"])
    net = cv2.dnn.readNetFromONNX(job["onnx"])
    names = sorted(net.getUnconnectedOutLayersNames())

    def run() -> Any:
        net.setInput(x)
        return net.forward(names)

    return Engine(f"OpenCV {cv2.__version__}", run)


def open_ncnn(job: Job, x: Any) -> Engine:
    """float32 storage and arithmetic; the files are made by pnnx."""
    ncnn = import_module("ncnn")
    net = ncnn.Net()
    net.opt.num_threads = job["threads"]
    net.opt.use_vulkan_compute = False
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, option, False)
    if net.load_param(job["ncnn"] + ".param") or net.load_model(job["ncnn"] + ".bin"):
        raise RuntimeError("the files that pnnx made are not readable")
    names = sorted(net.output_names(), key=lambda name: int("".join(filter(str.isdigit, name))))
    source, picture = net.input_names()[0], ncnn.Mat(x[0])

    def run() -> Any:
        found = []
        with net.create_extractor() as extractor:
            extractor.input(source, picture)
            for name in names:
                status, value = extractor.extract(name)
                if status:
                    raise RuntimeError(f"extracting {name} failed")
                found.append(np.array(value))
        return found

    return Engine(f"ncnn {ncnn.__version__}", run)


def open_torch(job: Job, x: Any) -> Engine:
    """The ONNX graph, node by node, channels last."""
    torch = import_module("torch")
    torch.set_num_threads(job["threads"])
    run = import_module("torch_graph").load(job["graph"], x)
    return Engine(f"PyTorch {torch.__version__.split('+')[0]}", run)


OPENERS: dict[str, Callable[[Job, Any], Engine]] = {
    "darknet_py": open_darknet_py,
    "onnxruntime": open_onnxruntime,
    "openvino": open_openvino,
    "opencv": open_opencv,
    "ncnn": open_ncnn,
    "torch": open_torch,
}


def resident() -> int:
    """Bytes this process has in memory."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(job: Job) -> None:
    """Loads, runs once, and then as often as it is asked."""
    # Engines print what they like: standard output stays the parent's.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    x = np.load(job["input"])
    imported, begin = resident(), time.perf_counter()
    engine = OPENERS[job["engine"]](job, x)
    outputs = engine.run()
    ready = time.perf_counter() - begin
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    np.savez(job["outputs"], *[np.ascontiguousarray(values).ravel() for values in outputs])

    def answer(value: Any) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    answer({"name": engine.name, "ready": ready, "bytes": resident() - imported})
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            engine.run()
            times.append(time.perf_counter() - begin)
        answer({"times": times, "bytes": resident() - imported})


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
