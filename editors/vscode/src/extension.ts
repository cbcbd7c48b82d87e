/** Wiring only: which command is which function, and who hears of what. */
import * as vscode from 'vscode';
import { Adapters, rollBackAdapter } from './adapters';
import { Channel } from './channel';
import { Chat } from './chat';
import { compare } from './compare';
import { deploy } from './deploy';
import { down } from './down';
import { open } from './endpoint';
import { firstFolder, projectFolder } from './folder';
import { Installation } from './installation';
import { Logs } from './logs';
import { ParametersHelp } from './parameters';
import { addToPlayground } from './playground';
import { provision } from './provision';
import { Remora } from './remora';
import { rollBack } from './rollback';
import { addSecret } from './secret';
import { Status } from './status';
import { Tasks } from './tasks';
import type { Range } from './version';

/** `subject` is what was clicked in a tree. */
type Action = (folder: vscode.Uri, subject: unknown) => Promise<void> | void;

/** What tells that a folder is a project, and what changes when a command in a terminal did something. */
const PROJECT_FILES = ['remora.toml', 'infra/inference.config.json', 'infra/finetuning.config.json'];

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const manifest = context.extension.packageJSON as { readonly remora: { readonly cli: Range } };
  const channel = new Channel();
  const installation = new Installation(manifest.remora.cli);
  const remora = new Remora(installation, channel);
  const status = new Status(remora);
  const adapters = new Adapters(remora);
  const logs = new Logs(remora);
  const chat = new Chat(remora, context.extensionUri);
  const files = vscode.workspace.createFileSystemWatcher(`**/{${PROJECT_FILES.join(',')}}`);
  const actions: Readonly<Record<string, Action>> = {
    provision: changing(status, (folder) => provision(remora, folder)),
    deploy: changing(status, (folder) => deploy(remora, folder)),
    rollback: changing(status, (folder) => rollBack(remora, folder)),
    secret: (folder) => addSecret(remora, folder, context.secrets),
    down: changing(status, (folder) => down(remora, folder)),
    open: (folder) => open(remora, folder),
    logs: (folder) => logs.show(folder),
    status: (folder) => status.show(folder),
    chat: (folder) => { chat.show(folder); },
    compare: (folder) => compare(remora, folder, context.storageUri ?? context.globalStorageUri),
    playground: (folder) => addToPlayground(remora, folder),
    'adapters.refresh': () => status.look(),
    'adapters.rollback': changing(status, (folder, node) => rollBackAdapter(remora, folder, node as Parameters<typeof rollBackAdapter>[2])),
  };
  const look = (): void => { void lookAt(status); };
  context.subscriptions.push(
    channel, status, adapters, logs, chat, files,
    ...Object.entries(actions).map(([name, action]) => vscode.commands.registerCommand(`remora.${name}`, (subject: unknown) => inProject(action, subject))),
    vscode.window.registerTreeDataProvider('remora.adapters', adapters),
    vscode.tasks.registerTaskProvider('remora', new Tasks(installation)),
    new ParametersHelp().register(),
    status.onDidChange((state) => { void adapters.look(state !== undefined); }),
    files.onDidCreate(look), files.onDidChange(look), files.onDidDelete(look),
    vscode.workspace.onDidGrantWorkspaceTrust(() => { installation.forget(); look(); }),
    vscode.workspace.onDidChangeConfiguration((event) => { if (event.affectsConfiguration('remora')) { installation.forget(); look(); } }),
  );
  await lookAt(status);
}

/** Nothing is shown in a window that has no project. */
async function lookAt(status: Status): Promise<void> {
  const folder = firstFolder();
  const found = folder ? await Promise.all(PROJECT_FILES.map((file) => exists(vscode.Uri.joinPath(folder, file)))) : [];
  const isProject = found.includes(true);
  await vscode.commands.executeCommand('setContext', 'remora.hasProject', isProject);
  if (isProject) await status.look();
}

function exists(file: vscode.Uri): Thenable<boolean> {
  return vscode.workspace.fs.stat(file).then(() => true, () => false);
}

function changing(status: Status, action: Action): Action {
  return async (folder, subject) => {
    await action(folder, subject);
    await status.look();
  };
}

async function inProject(action: Action, subject: unknown): Promise<void> {
  const folder = await projectFolder();
  if (folder) await action(folder, subject);
}
