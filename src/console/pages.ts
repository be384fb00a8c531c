import { changesPage } from './changes.ts';
import { coveragePage } from './coverage.ts';
import { gapsPage, quarantinePage } from './gaps.ts';
import { homePage } from './home.ts';
import { blockersPage, monthPage, monthsPage } from './months.ts';
import { organizationPage } from './organization.ts';
import { organizationsPage } from './organizations.ts';
import { runPage, runsPage } from './runs.ts';
import type { ConsolePage } from './sources.ts';
import { storyPage } from './story.ts';

/** Every page. */
export const PAGES: readonly ConsolePage[] = [
  homePage,
  organizationsPage,
  organizationPage,
  monthsPage,
  monthPage,
  blockersPage,
  coveragePage,
  storyPage,
  gapsPage,
  quarantinePage,
  changesPage,
  runsPage,
  runPage,
];
