/** Changes that a person with rights can make to the database without the program. */

/** Returns the statement as the program would run it, so that the ledger does not take it for a change by hand. */
export function asProgram(statement: string): string {
  return `set losant_usage.program = 'test'; ${statement}`;
}

/** Returns the statement by which another process takes the lease of an instance, in place of its holder. */
export function holdLease(instanceId: string, until = "now() + interval '1 hour'"): string {
  return `delete from losant_usage.leases where instance_id = '${instanceId}';
    insert into losant_usage.leases (instance_id, run_id, host, acquired_at, expires_at)
    values ('${instanceId}', gen_random_uuid(), 'elsewhere', now(), ${until})`;
}

const COLUMNS = {
  device_counts: 'devices_created = null, devices_deleted = null, devices_total = null',
  payload_totals: 'payload_billable_count = null, payload_all_count = null, payload_all_bytes = null',
} as const;

/** Returns the statement after which an organization's numbers of a stream are missing, as after a failed read. */
export function loseNumbers(stream: keyof typeof COLUMNS, orgId: string): string {
  return asProgram(`
    update losant_usage.coverage set standing = 'missing', is_stored = false, is_reported = false, failed_reads = 1,
      reason = 'server_error', detail = 'HTTP 502', next_read_at = now() - interval '1 minute'
    where org_id = '${orgId}' and stream = '${stream}';
    update losant_usage.usage_days set ${COLUMNS[stream]} where org_id = '${orgId}'`);
}
