import { type ChildProcess, spawn } from 'node:child_process'

/**
 * Ends every child when this process is killed and cannot. A JVM does not notice that its parent is gone, and
 * Node offers no PR_SET_PDEATHSIG, so a small shell holds the other end of a pipe: when the kernel closes
 * ours, it sends SIGTERM to whatever is still on its list, and SIGKILL ten seconds later.
 */
const script = `
trap '' INT TERM HUP
pids=' '
while read -r op pid; do
  case $op in
    add) pids="$pids$pid " ;;
    remove) rest=' '; for p in $pids; do [ "$p" = "$pid" ] || rest="$rest$p "; done; pids=$rest ;;
    done) exit 0 ;;
  esac
done
for p in $pids; do kill -TERM "$p" 2>/dev/null; done
n=0
while [ $n -lt 100 ]; do
  alive=
  for p in $pids; do kill -0 "$p" 2>/dev/null && alive="$alive $p"; done
  [ -z "$alive" ] && exit 0
  sleep 0.1
  n=$((n + 1))
done
for p in $alive; do kill -KILL "$p" 2>/dev/null; done
`

export interface Guard extends Disposable {
  add(pid: number): void
  remove(pid: number): void
}

export function startGuard(): Guard {
  const shell: ChildProcess = spawn('sh', ['-c', script, 'blockferry-guard'], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  const { stdin } = shell
  // A guard that was killed itself is only missed if this process is killed too; the next start finds the
  // children by their records then.
  shell.on('error', () => undefined)
  stdin?.on('error', () => undefined)
  const tell = (line: string) => stdin?.write(`${line}\n`)
  return {
    add: (pid) => tell(`add ${pid}`),
    remove: (pid) => tell(`remove ${pid}`),
    [Symbol.dispose]: () => {
      tell('done')
      stdin?.end()
    },
  }
}
