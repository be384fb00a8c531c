/**
 * Preloaded (`--import`) into a measured process: as it ends, it says on file
 * descriptor 3 what it has used. The kernel's peak for the process itself is
 * read, as `maxRSS` starts with what the parent had.
 */
import { readFileSync, writeSync } from 'node:fs';

/** What a process has used from its start to its end. */
export interface Usage {
  /** User and system time of all threads. */
  readonly cpuMs: number;
  readonly peakRssBytes: number;
}

const USAGE_FD = 3;

process.on('exit', () => {
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  const peakKb = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  if (peakKb === undefined) throw new Error('this kernel does not tell the peak memory of a process');
  const usage: Usage = { cpuMs: (userCPUTime + systemCPUTime) / 1_000, peakRssBytes: Number(peakKb) * 1_024 };
  writeSync(USAGE_FD, JSON.stringify(usage));
});
