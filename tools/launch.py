"""torchrun for dist_train.sh, which is killed by the kernel as soon as that script has ended."""

import ctypes
import os
import signal
import sys

from torch.distributed.run import main

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    # The ranks do the same, see `end_with_parent`.
    os.environ["CMAC_LAUNCHER_PID"] = str(os.getpid())
    main()
