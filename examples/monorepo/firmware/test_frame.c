#include "frame.h"

#include <stdio.h>
#include <string.h>

int main(void)
{
    const struct reading reading = {7, 0x01f4};
    const uint8_t expected[FRAME_BYTES] = {0x07, 0x01, 0xf4, 0xfc};
    uint8_t got[FRAME_BYTES];
    frame_encode(&reading, got);
    if (memcmp(got, expected, sizeof got) != 0) {
        printf("FAIL: %02x %02x %02x %02x\n", got[0], got[1], got[2], got[3]);
        return 1;
    }
    puts("ok");
    return 0;
}
