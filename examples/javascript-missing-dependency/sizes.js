// Limits as people write them ("10mb", "2h"), read into numbers.
const bytes = require("bytes");
const ms = require("ms");

exports.parseLimits = ({ size, time }) => ({ bytes: bytes.parse(size), ms: ms(time) });
