// A shopping cart. Money is in whole cents, so that nothing is lost to fractions.

export class Cart {
  #lines = new Map();

  add(article, cents, count = 1) {
    const line = this.#lines.get(article) ?? { cents, count: 0 };
    line.count += count;
    this.#lines.set(article, line);
  }

  // Ten per cent off from 100.00 on, rounded in favour of the customer.
  total() {
    let sum = 0;
    for (const { cents, count } of this.#lines.values()) {
      sum += cents * count;
    }
    return sum > 10000 ? Math.floor(sum * 0.9) : sum;
  }
}
