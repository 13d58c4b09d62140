import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

/** What is made for one run of the suite carries this label with the run's name, or is of its compose project. */
export const runLabel = 'blockferry.test-run'

/*
 * Waits for the end of its input, then removes whatever the run has made: containers, volumes, networks, image tags.
 * A compose that was still at work may make more meanwhile, so it looks until there was nothing twice. Layers
 * stay: they are the builder's cache, not the run's.
 */
const script = `
cat > /dev/null
quiet=0
for _ in 1 2 3 4 5 6 7 8 9 10; do
  found=0
  for label in "com.docker.compose.project=$1" "${runLabel}=$1"; do
    list=$(docker ps -aq --filter "label=$label"); [ -z "$list" ] || { found=1; docker rm -fv $list; }
    list=$(docker volume ls -q --filter "label=$label"); [ -z "$list" ] || { found=1; docker volume rm -f $list; }
    list=$(docker network ls -q --filter "label=$label"); [ -z "$list" ] || { found=1; docker network rm $list; }
  done
  if [ $found = 0 ]; then quiet=$((quiet + 1)); else quiet=0; fi
  [ $quiet = 2 ] && break
  sleep 1
done
list=$(docker images --filter "reference=$1/*" --format '{{.Repository}}:{{.Tag}}')
[ -z "$list" ] || docker rmi --no-prune $list
exit 0
`

/**
 * Removes everything of a run, also when the suite is killed: a shell outside the suite's process group holds
 * the other end of a pipe that only the suite keeps open. There is one way of cleaning up, so every run tests it.
 */
export class CleanUp implements AsyncDisposable {
  readonly #shell: ChildProcess

  constructor(run: string) {
    const stdio = ['pipe', 'ignore', 'ignore'] as const
    this.#shell = spawn('sh', ['-c', script, 'clean-up', run], { detached: true, stdio: [...stdio] })
    this.#shell.unref()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#shell, 'exit')
    this.#shell.ref()
    this.#shell.stdin?.end()
    await ended
  }
}
