import { SettingsError } from '../errors.ts';
import { type AdminClient, createAdminClient } from '../losant/admin.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { SERVICE } from '../settings/table.ts';
import type { CommandContext } from './command.ts';

/** The client that can change the instance's organizations. Throws SettingsError without its token. */
export function openAdmin(
  { config, version, hostNow }: CommandContext,
  { apiUrl, domain }: InstanceConfig,
): AdminClient {
  const token = config.adminToken;
  if (token === null) {
    throw new SettingsError('LOSANT_ADMIN_TOKEN is not set', { hint: SERVICE.adminToken.remedy });
  }
  const { timeoutMs } = config.request;
  const userAgent = `losant-usage-export/${version}`;
  return createAdminClient({ apiUrl, domain, token, timeoutMs, userAgent, now: hostNow });
}
