#include "ini.h"

#include <ctype.h>

/* Copies [begin, end) without the blanks around it. */
static int copy_trimmed(char *to, const char *begin, const char *end)
{
    while (begin < end && isspace((unsigned char)*begin))
        begin++;
    while (end > begin && isspace((unsigned char)end[-1]))
        end--;
    size_t length = (size_t)(end - begin);
    if (length == 0 || length >= INI_TEXT_MAX)
        return -1;
    memcpy(to, begin, length);
    to[length] = '\0';
    return 0;
}

int ini_parse(const char *line, struct ini_pair *pair)
{
    const char *equals = strchr(line, '=');
    if (equals == NULL)
        return -1;
    if (copy_trimmed(pair->key, line, equals) != 0)
        return -1;
    return copy_trimmed(pair->value, equals + 1, line + strlen(line));
}
