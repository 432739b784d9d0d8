from django.db import migrations, models


def without_times(apps, schema_editor):
    """Rows that were erased before keep no time either."""
    apps.get_model("participants", "Participant").objects.filter(state="withdrawn").update(started_at=None)


class Migration(migrations.Migration):
    dependencies = [
        ("participants", "0004_one_person_a_submission"),
    ]

    operations = [
        migrations.AddField(model_name="studystate", name="launched", field=models.TextField(default="")),
        migrations.AlterField(
            model_name="participant",
            name="started_at",
            field=models.DateTimeField(auto_now_add=True, null=True),
        ),
        migrations.RunPython(without_times, migrations.RunPython.noop),
    ]
