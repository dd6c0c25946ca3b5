#error \
    "the pure core (core/, worker/decode, worker/fold) knows no driver: move what needs librdkafka/rdkafka.h to worker/intake or worker/commit"
