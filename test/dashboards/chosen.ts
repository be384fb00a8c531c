import type { Chosen } from './dashboards.ts';
import { ACME, NORTH, SOUTH } from './world.ts';

/** Begins on 31 October in Los Angeles, and ends on 21 November in Kiritimati. */
export const CHOSEN: Chosen = {
  from: '2026-11-01T06:30:00Z',
  to: '2026-11-20T18:00:00Z',
  variables: {
    instance: [NORTH, SOUTH],
    metric: ['payload_billable_count'],
    comparison: ['weekdays'],
    org: [ACME],
  },
};
