import type { Socket } from 'node:net';
import pg from 'pg';
import { arrayText } from './array-text.ts';

export interface ClientBounds {
  readonly connectTimeoutMs: number;
  /** How long a query may stay unanswered: above the server's own statement timeout. */
  readonly silenceMs: number;
}

/**
 * A pg client class whose every wait ends, even when the server or the network
 * in between falls silent: a connection that answers too late is destroyed, and
 * its queries fail as lost. (pg's own `query_timeout` would hand the busy
 * connection back to the pool; the pool's `connectionTimeoutMillis` would also
 * fail those who merely wait for a free connection.) Queries by promise only.
 */
export function boundedClient({ connectTimeoutMs, silenceMs }: ClientBounds): typeof pg.Client {
  return class BoundedClient extends pg.Client {
    constructor(config: pg.ClientConfig) {
      super({ ...config, connectionTimeoutMillis: connectTimeoutMs });
      // An error while checked out and idle would have no listener and end the process;
      // the query that follows reports the loss.
      this.on('error', () => {});
      const query = this.query.bind(this) as (...args: readonly unknown[]) => Promise<unknown>;
      const bounded = (text: unknown, values?: readonly unknown[]): Promise<unknown> => {
        const timer = setTimeout(() => socketOf(this).destroy(), silenceMs);
        return query(text, values?.map(asText)).finally(() => clearTimeout(timer));
      };
      this.query = bounded as typeof this.query;
    }
  };
}

function socketOf(client: pg.Client): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream;
}

/** Long arrays are most of what is sent: pg's own way to write them takes three times as long. */
function asText(value: unknown): unknown {
  return Array.isArray(value) ? (arrayText(value) ?? value) : value;
}
