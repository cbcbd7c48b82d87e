#!/bin/bash
# setup.sh DIR: a VS Code workbench for the browser (code-server) and a driver for Chromium, from the npm registry.
# 4.100.3 is the newest code-server that runs on Node 20. Its install scripts want to download from elsewhere, so
# they are left out, and the three native modules that matter are built here: argon2 (it does not start without),
# spdlog (output channels stay empty without) and node-pty (terminals, and with them tasks). Needs g++, make, python3 and Node's headers in /usr/include/node.
set -euo pipefail
dir=$1
ready=$dir/.ready
[ -e "$ready" ] && exit 0
rm -rf "$dir" && mkdir -p "$dir" && cd "$dir"
export npm_config_nodedir=/usr
echo '{"private":true}' > package.json
npm install --ignore-scripts --no-audit --no-fund --loglevel=error code-server@4.100.3 playwright-core@1.65.1 > npm.log 2>&1
npm rebuild --foreground-scripts --loglevel=error argon2 > argon2.log 2>&1
cd node_modules/code-server/lib/vscode
npm install --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error > "$dir/vscode.log" 2>&1
gyp=$(npm root -g)/npm/node_modules/node-gyp/bin/node-gyp.js
for module in @vscode/spdlog node-pty; do
  (cd node_modules/$module && node "$gyp" rebuild --nodedir=/usr -j 2 > "$dir/${module##*/}.log" 2>&1)
done
ln -sfn node_modules node_modules.asar
touch "$ready"
