import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { dashboards, expressions, fillInExpression } from '../dashboards/dashboards.ts';

/** promtool's verdict on files of deploy/prometheus. */
function promtool(...args: readonly string[]) {
  const options = { cwd: 'deploy/prometheus', encoding: 'utf8', timeout: 60_000 } as const;
  const { status, stdout, stderr, error } = spawnSync('promtool', args, options);
  if (error) throw error;
  return { status, output: stdout + stderr };
}

test('the alerts are valid rules', () => {
  const { status, output } = promtool('check', 'rules', 'alerts.yml');
  expect(output).toContain('SUCCESS: 14 rules found');
  expect(status).toBe(0);
});

test('the alerts fire in the situations they are for, and in no other', () => {
  const { status, output } = promtool('test', 'rules', 'alerts.test.yml');
  expect(output).not.toContain('FAILED');
  expect(output).toContain('SUCCESS');
  expect(status).toBe(0);
});

test('the scrape configuration to copy is valid', () => {
  expect(promtool('check', 'config', '--syntax-only', 'prometheus.yml').status).toBe(0);
});

test('the routes to people are valid: what is critical goes to both, the rest to Slack', () => {
  const amtool = (...args: readonly string[]) =>
    spawnSync('amtool', args, { cwd: 'deploy/prometheus', encoding: 'utf8', timeout: 60_000 });
  const checked = amtool('check-config', 'alertmanager.yml');
  if (checked.error) throw checked.error;
  expect(checked.stdout).toContain('SUCCESS');
  const receiversOf = (severity: string) =>
    amtool(
      'config',
      'routes',
      'test',
      '--config.file=alertmanager.yml',
      'alertname=LosantUsageX',
      `severity=${severity}`,
    ).stdout.trim();
  expect([receiversOf('critical'), receiversOf('warning')]).toEqual(['pagerduty,slack', 'slack']);
});

test('every expression of the dashboards is one that Prometheus can read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'losant-usage-promtool-'));
  try {
    const rules = dashboards
      .flatMap(expressions)
      .map(({ expr }, index) => ({ record: `panel:${index}`, expr: fillInExpression(expr) }));
    expect(rules.length).toBe(34);
    const file = join(folder, 'dashboards.yml');
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboards', rules }] }));
    const { status, output } = promtool('check', 'rules', file);
    expect(output).toContain(`SUCCESS: ${rules.length} rules found`);
    expect(status).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
