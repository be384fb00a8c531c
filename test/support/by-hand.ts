/** Changes that a person with rights can make to the database without the program. */

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

/** Returns the statement that deletes an organization's numbers of a stream. */
function deleteNumbers(stream: keyof typeof METRICS, orgId: string): string {
  const changes = METRICS[stream].map((metric) => `${metric} = null`);
  return `update losant_usage.usage_days set ${changes.join(', ')} where org_id = '${orgId}'`;
}

/**
 * Returns the statement as the program would run it, so that the ledger does not take it for a change
 * by hand.
 */
export function asProgram(statement: string): string {
  return `set losant_usage.program = 'test'; ${statement}`;
}

/** Returns the statement by which another process takes the lease of an instance, in place of its holder. */
export function holdLease(instanceId: string, until = "now() + interval '1 hour'"): string {
  return `delete from losant_usage.leases where instance_id = '${instanceId}';
    insert into losant_usage.leases (instance_id, run_id, host, since, until)
    values ('${instanceId}', gen_random_uuid(), 'elsewhere', now(), ${until})`;
}

/** Returns the statement after which an organization's numbers of a stream are missing, as after a failed read. */
export function loseNumbers(stream: keyof typeof METRICS, orgId: string): string {
  return asProgram(`
    update losant_usage.coverage set standing = 'missing', is_stored = false, is_reported = false, attempts = 1,
      reason = 'server_error', message = 'HTTP 502', next_read_at = now() - interval '1 minute'
    where org_id = '${orgId}' and stream = '${stream}';
    ${deleteNumbers(stream, orgId)}`);
}
