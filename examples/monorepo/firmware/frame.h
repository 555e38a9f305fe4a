/* What a sensor sends: an id, a value, and the sum of their bytes. */
#ifndef FRAME_H
#define FRAME_H

#include <stdint.h>

#define FRAME_BYTES 4

struct reading {
    uint8_t sensor;
    uint16_t value;
};

/* Writes a reading as it goes over the wire. */
void frame_encode(const struct reading *reading, uint8_t out[FRAME_BYTES]);

#endif
