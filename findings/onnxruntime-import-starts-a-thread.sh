#!/usr/bin/env bash
# onnxruntime 1.31.1 and pyarrow 25.0.1 on Linux, Python 3.11 or later.
#
# One would expect: `import` runs no thread, as with numpy, so that a process may fork after it.
# Seen: importing onnxruntime starts a native thread; importing pyarrow starts jemalloc's background thread, unless
# JE_ARROW_MALLOC_CONF=background_thread:false is set before. Python's threading.active_count() says 1 in both cases, so
# that the warning of Python 3.12 about forking a process with threads goes by the kernel's count, not by that one.
# What follows: a fork server (multiprocessing's, gunicorn's preload) that imports one of them forks a process with
# threads, whose children may wait for ever for a lock that no thread holds any more.
#
# Exits 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnxruntime==1.31.1 pyarrow==25.0.1
count() { # MODULE [NAME=VALUE ...]
    local module=$1
    shift
    env OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 "$@" "$folder/venv/bin/python" -c \
        "import os, threading, $module; print(len(os.listdir('/proc/self/task')), threading.active_count())"
}
numpy=$(count numpy) onnxruntime=$(count onnxruntime) pyarrow=$(count pyarrow)
quiet=$(count pyarrow JE_ARROW_MALLOC_CONF=background_thread:false)
echo "threads by the kernel and by Python after the import:"
echo "numpy $numpy | onnxruntime $onnxruntime | pyarrow $pyarrow | pyarrow, told not to $quiet"
[[ $numpy == "1 1" && $onnxruntime == "2 1" && $pyarrow == "2 1" && $quiet == "1 1" ]]
