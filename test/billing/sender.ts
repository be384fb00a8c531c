/** A sender of meter events as docs/billing.md describes it, and a meter for it to send to. */

export const DAY_MS = 86_400_000;

/** The body of an event of Stripe. */
export interface StripeBody {
  readonly event_name: string;
  readonly identifier: string;
  readonly timestamp: number;
  readonly payload: { readonly stripe_customer_id: string; readonly value: string };
}

export type Meter = ReturnType<typeof openMeter>;

/** A meter that sums, which knows an id for 24 hours and can be asked for the sum of a customer in an hour. */
export function openMeter() {
  const known = new Map<string, number>();
  const events: StripeBody[] = [];
  return {
    take: (event: StripeBody, nowMs: number) => {
      if (nowMs - (known.get(event.identifier) ?? -Infinity) <= DAY_MS) return;
      known.set(event.identifier, nowMs);
      events.push(event);
    },
    sumOfHour: (like: StripeBody) => sum(events.filter((event) => isSummedWith(event, like))),
    sumOf: (name: string) => sum(events.filter(({ event_name }) => event_name === name)),
  };
}

function sum(events: readonly StripeBody[]): number {
  return events.reduce((all, { payload }) => all + Number(payload.value), 0);
}

function isSummedWith(event: StripeBody, like: StripeBody): boolean {
  const hourOf = ({ timestamp }: StripeBody) => Math.floor(timestamp / 3_600);
  return event.event_name === like.event_name && hourOf(event) === hourOf(like);
}

/** What a sender remembers of an instance when it ends. */
export interface Memory {
  number: number;
  readonly sent: Map<string, { readonly atMs: number; readonly isAcknowledged: boolean }>;
}

export interface Sending {
  readonly meter: Meter;
  readonly memory: Memory;
  readonly nowMs: number;
  /** It ends after this many events more, once the next one was taken and before it knows. */
  readonly endsAfter?: number;
}

export function send(
  events: readonly { readonly number: number; readonly stripe: StripeBody }[],
  { meter, memory, nowMs, endsAfter = Infinity }: Sending,
): void {
  const isAcknowledged = ({ identifier }: StripeBody) => memory.sent.get(identifier)?.isAcknowledged === true;
  let count = 0;
  for (const { stripe, number } of events.filter((each) => each.number > memory.number)) {
    const before = memory.sent.get(stripe.identifier);
    const isOld = before !== undefined && nowMs - before.atMs > DAY_MS;
    const marked = events
      .map((each) => each.stripe)
      .filter((each) => isSummedWith(each, stripe) && isAcknowledged(each));
    const hasArrived = isOld && meter.sumOfHour(stripe) !== sum(marked);
    if (!isAcknowledged(stripe) && !hasArrived) {
      memory.sent.set(stripe.identifier, { atMs: nowMs, isAcknowledged: false });
      meter.take(stripe, nowMs);
      count += 1;
      if (count > endsAfter) return;
    }
    memory.sent.set(stripe.identifier, { atMs: nowMs, isAcknowledged: true });
    const own = events.filter((each) => each.number === number);
    if (own.every((each) => isAcknowledged(each.stripe))) memory.number = number;
  }
}
