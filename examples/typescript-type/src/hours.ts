/** When a shop is open on one day, in minutes after midnight. */
export interface Hours {
  readonly opensAt: number;
  readonly closesAt: number;
}

/** Reads "9:30-18:00". Nothing is returned for a day on which it is closed. */
export function parse(text: string): Hours | undefined {
  const match = /^(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$/.exec(text.trim());
  if (!match) {
    return undefined;
  }
  const [h1, m1, h2, m2] = match.slice(1).map(Number);
  return { opensAt: h1 * 60 + m1, closesAt: h2 * 60 + m2 };
}

/** Whether it is open at that minute. */
export function isOpen(hours: Hours, minute: number): boolean {
  return hours.opensAt <= minute && minute < hours.closeAt;
}
