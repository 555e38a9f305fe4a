const assert = require("node:assert/strict");
const test = require("node:test");

const { parseLimits } = require("./sizes");

test("limits are read into numbers", () => {
  assert.deepEqual(parseLimits({ size: "10mb", time: "2h" }), { bytes: 10485760, ms: 7200000 });
});
