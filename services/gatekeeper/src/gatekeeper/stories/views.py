"""Stories as the API returns them."""

from __future__ import annotations

from datetime import datetime

from pydantic import ConfigDict, Field

from gatekeeper.policy.story import Kind, Spent
from gatekeeper.read_models import View
from gatekeeper.stories.reading import Heading, Told


class SpanView(View):
    model_config = ConfigDict(from_attributes=True)

    spent: Spent
    begins: datetime
    ends: datetime | None = Field(description="None while it lasts")


class StepView(View):
    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    id: str = Field(description="Of an event: its id; of a job, job:ID; of a row of the audit trail, audit:NUMBER")
    kind: Kind
    name: str = Field(description="Type of the event, kind of the job, or action")
    service: str
    model_name: str
    model_version: int | None
    who: str | None = Field(description="Who decided, where known")
    text: str = Field(description="The essentials, in a line")
    begins: datetime = Field(description="When what it followed was there")
    ends: datetime | None
    parent: str | None = Field(description="The step that it followed")
    inferred: bool = Field(description="It names no cause of this story: the parent is what came before it")
    depth: int
    failed: bool
    on_path: bool = Field(description="Part of the critical path")
    spans: list[SpanView] = Field(description="Where its time went")
    audit: list[int] = Field(description="Rows of the audit trail about it")
    rollout_id: str | None


class StoryView(View):
    """Everything that followed from one event, in the order of the tree: a step follows its parent."""

    correlation_id: str
    begins: datetime
    ends: datetime
    seconds: float
    swapped: bool = Field(description="The critical path ends with a swap on a replica of production")
    path_seconds: float = Field(description="From the first event to the swap, or to what happened last")
    spent: dict[Spent, float] = Field(description="Seconds of the critical path, by what they were spent on")
    running: list[str] = Field(description="Jobs that have not ended")
    steps: list[StepView]
    left_out: int = Field(description="Events beyond the first 1,000, which are not shown")
    missing: str | None = Field(description="What could not be read, such as the trainer's jobs")


class HeadingView(View):
    """A story in a list; first and last are of its events among the newest 2,000."""

    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    correlation_id: str
    model_names: list[str]
    versions: list[int]
    begins: datetime
    ends: datetime
    events: int
    first: str
    last: str


def story_view(told: Told) -> StoryView:
    story = told.story
    return StoryView(
        correlation_id=told.correlation_id,
        begins=story.begins,
        ends=story.ends,
        seconds=story.seconds,
        swapped=story.swapped,
        path_seconds=story.path_seconds,
        spent=dict(story.spent),
        running=list(story.running),
        steps=[StepView.model_validate(step) for step in story.steps],
        left_out=story.left_out,
        missing=told.missing,
    )


def heading_view(heading: Heading) -> HeadingView:
    return HeadingView.model_validate(heading)
