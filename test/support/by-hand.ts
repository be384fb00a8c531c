/** What a person with rights can do to the database beside the program. */

const METRICS = {
  device_counts: ['devices_created', 'devices_deleted', 'devices_total'],
  notebook_minutes: [
    'notebook_minutes',
    'notebook_completed',
    'notebook_canceled',
    'notebook_errored',
    'notebook_timeout',
  ],
  payload_totals: ['payload_billable_count', 'payload_all_count', 'payload_all_bytes'],
} as const;

/** The statement that takes an organization's numbers of a stream away. */
export function deleteNumbers(stream: keyof typeof METRICS, orgId: string): string {
  const changes = METRICS[stream].map((metric) => `${metric} = null`);
  return `update losant_usage.usage_days set ${changes.join(', ')} where org_id = '${orgId}'`;
}

/** The statement as if the program had made it: the ledger takes it for no change by hand. */
export function asProgram(statement: string): string {
  return `set losant_usage.program = 'test'; ${statement}`;
}
