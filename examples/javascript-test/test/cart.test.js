import assert from "node:assert/strict";
import test from "node:test";

import { Cart } from "../src/cart.js";

test("the same article is counted, not listed twice", () => {
  const cart = new Cart();
  cart.add("pen", 150);
  cart.add("pen", 150, 2);
  assert.equal(cart.total(), 450);
});

test("ten per cent off from 100.00 on", () => {
  const cart = new Cart();
  cart.add("chair", 10000);
  assert.equal(cart.total(), 9000);
});
