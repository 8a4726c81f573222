"""A stage that runs twice at once, and a reader beside a writer."""

import re
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults import chain
from faults.chain import FileEvents, Run, Step, before, extent, hashes, left_over, run, step, steps
from faults.counts import count, generator, times

from pipeline import masks
from pipeline.core.errors import UserError

pytestmark = pytest.mark.slow


def held(one: Step, folder: Path, random) -> Run:
    """The stage, which waits at an event of a file until ``ended`` is asked for."""
    at = int(random.integers(1, extent(one)[0] + 1))
    running = Run(one, folder, FileEvents(folder, at, signal.SIGSTOP))
    running.stopped()
    return running


@pytest.mark.parametrize("name", list(steps()))
def test_a_stage_started_while_it_runs_leaves_a_whole_result(name, tmp_path):
    """The second runs to its end while the first is held at any moment; one may be refused."""
    one, random, tried = steps()[name], generator("twice", name), times(1, 12)
    for trial in range(tried):
        folder = tmp_path / str(trial)
        before(one, folder)
        first = held(one, folder, random)
        second = run(one, folder)
        outcomes = second, first.ended()
        for outcome in outcomes:
            if outcome.status:
                assert outcome.is_one_sentence, outcome.output
                assert re.search("by another process|is not empty", outcome.output)
        assert not all(outcome.status for outcome in outcomes)
        assert hashes(folder, one) == hashes(chain.finished(), one)
        assert not left_over(folder)
        shutil.rmtree(folder)
    count("at once", f"{name} twice", tried, tried)


BESIDE = {  # a reader: what makes its inputs anew meanwhile
    "masks draw": "acquire",
    "train": "masks gather",
    "evaluate": "masks gather",
    "compare": "evaluate",
    "gallery": "evaluate",
    "predict": "train",
}


@pytest.mark.parametrize("name", BESIDE)
def test_a_reader_beside_a_writer_has_a_whole_result_or_is_refused(name, tmp_path):
    """The reader is held at any moment while its inputs are written, with the same bytes."""
    reader, writer = steps()[name], steps()[BESIDE[name]]
    random, tried = generator("beside", name), times(1, 12)
    for trial in range(tried):
        folder = tmp_path / str(trial)
        before(reader, folder)
        reading = held(reader, folder, random)
        written = run(writer, folder)
        assert written.status == 0, written.output
        outcome = reading.ended()
        if outcome.status:
            assert outcome.is_one_sentence, outcome.output
            assert run(reader, folder).status == 0
        assert hashes(folder, reader) == hashes(chain.finished(), reader)
        shutil.rmtree(folder)
    count("at once", f"{name} beside {writer.name}", tried, tried)


def test_masks_that_are_read_while_others_are_written_are_all_of_one_store(tmp_path):
    """Two stores of other faces take each other's place; every read is of one of them, or refused.

    A read opens the store and takes the masks and regions of all faces.
    """
    store, done, tried = tmp_path / "masks.zarr", tmp_path / "done", times(6, 60)
    folders = chain.finished(), chain.other()

    def read_once(path: Path) -> str:
        try:
            return chain.masks_digest(path)
        except UserError:
            return "refused"

    def read(argv: list[str]) -> None:
        while not done.exists():
            print(read_once(store), file=sys.stderr)
        print(read_once(store), file=sys.stderr)  # of a store at rest, which none may refuse

    def write(argv: list[str]) -> None:
        for number in range(tried):
            gather = steps()["masks gather"].argv(folders[number % 2])
            gather[gather.index("--store") + 1] = str(store)
            gather[gather.index("--summary") + 1] = str(tmp_path / "masks.json")
            masks.main(gather)
        done.touch()

    def look(argv: list[str]) -> None:
        for folder in folders:
            print(read_once(folder / "masks.zarr"), file=sys.stderr)

    looking, reading, writing = (
        Run(step("", SimpleNamespace(main=main), "", ""), tmp_path) for main in (look, read, write)
    )
    written = writing.ended()
    assert written.status == 0, written.output
    reads, wholes = reading.ended().output.splitlines(), looking.ended().output.splitlines()
    assert len(set(wholes) - {"refused"}) == 2
    assert set(reads) <= {"refused", *wholes}
    assert set(reads) - {"refused"}
    count("at once", "masks read beside others that are written", len(reads), len(reads))
