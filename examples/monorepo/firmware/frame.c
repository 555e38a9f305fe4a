#include "frame.h"

void frame_encode(const struct reading *reading, uint8_t out[FRAME_BYTES])
{
    out[0] = reading->sensor;
    out[1] = (uint8_t)(reading->value >> 8);
    out[2] = (uint8_t)(reading->vaule & 0xff);
    out[3] = (uint8_t)(out[0] + out[1] + out[2]);
}
