import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, type ConsoleMessage, chromium, type Page } from 'playwright-core';

/** Debian's browser: this project never downloads one. */
const CHROMIUM = '/usr/bin/chromium';

/** Turns off all requests to the browser's vendor. */
const NO_VENDOR_REQUESTS = ['--disable-background-networking', '--disable-component-update', '--disable-sync'];
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', ...NO_VENDOR_REQUESTS];

const isRoot = process.getuid?.() === 0;

export interface Browser extends AsyncDisposable {
  /** Opens a tab with a new profile. */
  open(options?: TabOptions): Promise<Tab>;
}

interface TabOptions {
  /** The password for the browser's login dialog. */
  readonly token?: string | undefined;
}

export interface Tab extends AsyncDisposable {
  readonly page: Page;
  /** Script errors, violations of the page's policy, requests to other hosts. */
  readonly problems: string[];
}

export async function startBrowser(): Promise<Browser> {
  const folder = mkdtempSync(join(tmpdir(), 'losant-usage-chromium-'));
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: isRoot ? ['--no-sandbox', ...FLAGS] : FLAGS,
    env: { PATH: process.env['PATH'] ?? '', HOME: folder },
  });
  return {
    async open({ token } = {}) {
      const credentials = token === undefined ? {} : { httpCredentials: { username: 'anybody', password: token } };
      return await openTab(await browser.newContext(credentials));
    },
    async [Symbol.asyncDispose]() {
      await browser.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function openTab(context: BrowserContext): Promise<Tab> {
  const page = await context.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(`uncaught error: ${error.message}`));
  page.on('console', (message) => {
    if (isProblem(message)) problems.push(`${message.type()}: ${message.text()}`);
  });
  page.on('request', (request) => {
    const { hostname } = new URL(request.url());
    if (hostname !== '127.0.0.1') problems.push(`a request left for ${request.url()}`);
  });
  return { page, problems, [Symbol.asyncDispose]: () => context.close() };
}

/** Returns whether a message reports a problem. The test that opens a page checks the page's own status. */
function isProblem(message: ConsoleMessage): boolean {
  const isOwnStatus = message.text().startsWith('Failed to load resource') && isPage(message.location().url);
  return ['error', 'warning', 'assert'].includes(message.type()) && !isOwnStatus;
}

function isPage(url: string): boolean {
  return !/\.\w+$/.test(new URL(url).pathname);
}
