/** Changes that a person with rights can make to the database without the program. */

/** Returns the statement by which another process takes the lease, in place of its holder. */
export function holdLease(until = "now() + interval '1 hour'"): string {
  return `delete from losant_usage.lease;
    insert into losant_usage.lease (run_id, host, acquired_at, expires_at)
    values (gen_random_uuid(), 'elsewhere', now(), ${until})`;
}

const COLUMNS = {
  device_counts: 'devices_created = null, devices_deleted = null, devices_total = null',
  payload_totals: 'payload_billable_count = null, payload_all_count = null, payload_all_bytes = null',
} as const;

/** Returns the statement after which an organization's numbers of a stream are missing, as after a failed read. */
export function loseNumbers(stream: keyof typeof COLUMNS, orgId: string): string {
  return `
    update losant_usage.coverage set standing = 'missing', is_stored = false, is_reported = false, failed_reads = 1,
      reason = 'server_error', detail = 'HTTP 502', next_read_at = now() - interval '1 minute'
    where org_id = '${orgId}' and stream = '${stream}';
    update losant_usage.usage_days set ${COLUMNS[stream]} where org_id = '${orgId}'`;
}
