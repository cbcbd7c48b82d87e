// node e2e/test.mjs TOOLS VSIX BIN [SCREENSHOTS]: a user's first day with the extension, against the local cloud.
// TOOLS is what setup.sh made, BIN the folder with `remora`, SCREENSHOTS where pictures for the docs go.
import path from 'node:path';
import { Project, packaged } from './project.mjs';
import { editing } from './stories/editing.mjs';
import { finding } from './stories/finding.mjs';
import { changing, ending, provisioning, serving } from './stories/first-hour.mjs';
import { playground } from './stories/playground.mjs';
import { bait, restricted } from './stories/restricted.mjs';
import { Server } from './workbench.mjs';

const [tools, vsix, bin, pictures] = process.argv.slice(2).map((each) => path.resolve(each));
const project = new Project(path.join(bin, 'remora'));
let server;
let window;
let now = 'starting';
try {
  const { root, environment } = project;
  server = await Server.open({ tools, root, environment, extensions: [vsix, packaged('python', root)] });
  const picture = (name) => window.screenshot(name, pictures);
  const tell = async (story, folder = project) => {
    for (const [name, act] of Object.entries(story(window, folder, picture))) await timed(name, act);
  };
  window = await server.visit(project.folder, { trust: true });
  // Each story builds on those before.
  for (const story of [finding, provisioning, serving, changing, editing]) await tell(story);
  const trusted = window;
  const stranger = project.copied();
  bait(stranger);
  window = await server.visit(stranger.folder, { trust: false });
  await tell(restricted, stranger);
  window = trusted;
  for (const story of [playground, ending]) await tell(story);
  now = undefined;
} catch (error) {
  console.error(`NOT ok  ${now}\n${error.stack}\nkept: ${project.root}`);
  await window?.page.screenshot({ path: `${project.root}/failed.png` }).catch(() => undefined);
} finally {
  await server?.end();
  await project.end({ keep: now !== undefined });
}
process.exit(now === undefined ? 0 : 1);

async function timed(name, act) {
  const begun = Date.now();
  now = name;
  await act();
  console.log(`ok  ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
}
