#error \
    "the pure core (core/, worker/decode, worker/fold) knows no driver: move what needs libpq-fe.h to worker/intake or worker/commit"
