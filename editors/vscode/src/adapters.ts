/** The tree *Inference Adapters*: each adapter on the share with its versions; a name can be rolled back from here. */
import * as vscode from 'vscode';
import type { Document } from './contract';
import { firstFolder } from './folder';
import type { Remora } from './remora';

const DIGEST_CHARACTERS = 12;
const ICONS: Readonly<Record<string, string>> = { current: 'pass-filled', previous: 'history', unused: 'circle-outline' };

type Version = Document<'adapters.list'>['adapters'][number];

interface Adapter {
  readonly name: string;
  readonly versions: readonly Version[];
}

type Node = Adapter | Version;

export class Adapters implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  private adapters: readonly Adapter[] = [];

  constructor(private readonly remora: Remora) {}

  /** Looks again; without a cloud that answers there is nothing to show. */
  async look(answers: boolean): Promise<void> {
    const folder = firstFolder();
    try {
      const found = folder && answers ? await this.remora.look('adapters.list', ['adapters', 'list'], folder) : undefined;
      this.adapters = byName(found?.adapters ?? []);
    } catch {
      this.adapters = []; // what is wrong is in the status bar
    }
    this.changed.fire(undefined);
  }

  getChildren(parent?: Node): Node[] {
    if (!parent) return [...this.adapters];
    return 'versions' in parent ? [...parent.versions] : [];
  }

  getTreeItem(node: Node): vscode.TreeItem {
    return 'versions' in node ? adapterItem(node) : versionItem(node);
  }

  dispose(): void {
    this.changed.dispose();
  }
}

/** Point a name to what it pointed to before. */
export async function rollBackAdapter(remora: Remora, folder: vscode.Uri, node: Node): Promise<void> {
  remora.channel.show();
  const done = await remora.show('adapters.change', `Roll back ${node.name}`, ['adapters', 'rollback', node.name], folder);
  if (done) void vscode.window.showInformationMessage(`${done.name} is ${short(done.to ?? 'no adapter')} again.`);
}

function byName(versions: readonly Version[]): Adapter[] {
  const names = [...new Set(versions.map((version) => version.name))];
  return names.map((name) => ({ name, versions: versions.filter((version) => version.name === name) }));
}

function adapterItem(adapter: Adapter): vscode.TreeItem {
  const item = new vscode.TreeItem(adapter.name, vscode.TreeItemCollapsibleState.Expanded);
  const current = adapter.versions.find((version) => version.state === 'current');
  const hasPrevious = adapter.versions.some((version) => version.state === 'previous');
  item.id = adapter.name;
  item.description = current ? short(current.digest) : 'not served';
  item.iconPath = new vscode.ThemeIcon('layers');
  item.contextValue = hasPrevious ? 'adapterWithPrevious' : 'adapter';
  return item;
}

function versionItem(version: Version): vscode.TreeItem {
  const item = new vscode.TreeItem(short(version.digest));
  item.description = `${version.state} · ${Math.ceil(version.size_bytes / 1024).toLocaleString('en')} KiB`;
  item.tooltip = version.digest;
  item.iconPath = new vscode.ThemeIcon(ICONS[version.state] ?? 'circle-outline');
  item.contextValue = version.state;
  return item;
}

function short(digest: string): string {
  return digest.slice(0, DIGEST_CHARACTERS);
}
